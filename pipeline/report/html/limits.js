// Limits as sliders over what documents measure: moved, they show at once what they would keep of the sample.

import { button, el, section, svg } from "./dom.js";
import { languageName } from "./rules.js";
import { count, measure, say, sayReason, share } from "./words.js";

const BINS = 60;
const STEPS = 400;
const QUANTILE_OF = 5000;

/**
 * What the limits say of every document of the sample. A document that another reason dropped (a duplicate, a
 * language) stays dropped; one that a limit dropped comes back if no limit is left that drops it.
 */
export class Trial {
  constructor(facts) {
    this.facts = facts;
    this.n = facts.documents.n;
    this.moved = new Map();
    this.against = facts.limits.map(() => new Uint8Array(this.n));
    const slides = new Set(facts.limits.map((one) => `${one.stage}\0${one.reason}`));
    this.fixed = facts.fates.map(([stage, reason]) => !slides.has(`${stage}\0${reason}`));
    this.hits = new Uint16Array(this.n);
    facts.limits.forEach((_, at) => this.judge(at));
    this.before = this.kept().slice();
  }

  /** The limit for documents of a language, as moved; NaN where there is none. */
  limitOf(at, lang) {
    const own = this.facts.limits[at].limits[lang];
    if (own == null) return NaN;
    const change = this.moved.get(at);
    if (!change || (change.lang != null && change.lang !== lang)) return own;
    return change.factor != null ? own * change.factor : change.to;
  }

  move(at, change) {
    if (change) this.moved.set(at, change);
    else this.moved.delete(at);
    this.judge(at);
  }

  judge(at) {
    const { facts, hits } = this;
    const one = facts.limits[at];
    const values = facts.measured[one.measure];
    const limits = Float32Array.from(one.limits, (_, lang) => this.limitOf(at, lang));
    const { lang } = facts.data;
    const was = this.against[at];
    for (let row = 0; row < this.n; row++) {
      const limit = limits[lang[row]];
      const now = (one.least ? values[row] < limit : values[row] > limit) ? 1 : 0;
      hits[row] += now - was[row];
      was[row] = now;
    }
  }

  /** 1 for each document that would be kept. */
  kept() {
    const { fate } = this.facts.data;
    const kept = new Uint8Array(this.n);
    for (let row = 0; row < this.n; row++) kept[row] = this.hits[row] === 0 && !(fate[row] && this.fixed[fate[row] - 1]) ? 1 : 0;
    return kept;
  }

  /** 1 for each document whose fate would change, 2 where it would be dropped; and how many of each. */
  changed(lang) {
    const kept = this.kept();
    const { sampled, lang: langs } = this.facts.data;
    const changed = new Uint8Array(this.n);
    const sums = { kept: 0, before: 0, of: 0, back: 0, gone: 0 };
    for (let row = 0; row < this.n; row++) {
      if (!sampled[row] || (lang != null && langs[row] !== lang)) continue;
      sums.of++;
      sums.kept += kept[row];
      sums.before += this.before[row];
      if (kept[row] === this.before[row]) continue;
      changed[row] = kept[row] ? 1 : 2;
      if (kept[row]) sums.back++;
      else sums.gone++;
    }
    return { changed, sums };
  }
}

export function limitsSection(facts, pick) {
  if (!facts.documents.measured || !facts.limits.length) {
    return section("limits", say("limits"), say("limits.absent"));
  }
  return section("limits", say("limits"), say("limits.lead", { n: count(facts.documents.sampled) }),
    el("div", { class: "trial", "aria-busy": "true" }, el("p", { class: "note" }, say("loading"))),
    el("p", { class: "note" }, say("limits.note")));
}

/** Once columns and measures are there. */
export function fillLimits(facts, pick) {
  const box = document.querySelector("#limits .trial");
  if (!box) return;
  facts.trial ??= new Trial(facts);
  const { trial } = facts;
  const langs = usedLanguages(facts);
  const choose = el("select", { id: "trial-lang" }, el("option", { value: "" }, say("all.languages")),
    ...langs.map(([code, n]) => el("option", { value: code }, `${languageName(facts.labels.lang[code])} · ${count(n)}`)));
  const sums = el("output", { class: "sums", for: "trial-lang", "aria-live": "polite" });
  const change = el("pre", { class: "recipe", hidden: true, tabindex: "0" });
  const show = button(say("limits.show"), () => pick({ changed: trial.changed(chosen()).changed }), { class: "ghost", disabled: true });
  const reset = button(say("limits.reset"), () => {
    for (const at of [...trial.moved.keys()]) trial.move(at, null);
    redraw();
  }, { class: "ghost" });
  const rows = el("div", { class: "sliders" });
  const chosen = () => (choose.value === "" ? null : Number(choose.value));
  choose.addEventListener("change", redraw);

  function summary() {
    const { sums: now } = trial.changed(chosen());
    sums.replaceChildren(
      el("b", {}, say("limits.kept", { kept: count(now.kept), of: count(now.of), share: share(now.kept / now.of) })), " ",
      el("span", { class: "back" }, say("limits.back", { n: count(now.back) })), " ",
      el("span", { class: "gone" }, say("limits.gone", { n: count(now.gone) })));
    show.disabled = now.back + now.gone === 0;
    reset.disabled = trial.moved.size === 0;
    change.hidden = trial.moved.size === 0;
    change.textContent = commands(trial, facts);
  }

  function redraw() {
    rows.replaceChildren(...grouped(facts.limits).map(([stage, listed]) => el("fieldset", {}, el("legend", {}, stage),
      ...listed.map((at) => slider(trial, at, chosen(), summary)).filter(Boolean))));
    summary();
  }

  box.removeAttribute("aria-busy");
  box.replaceChildren(el("div", { class: "trial-bar" }, el("label", {}, say("language"), " ", choose), sums, show, reset), change, rows);
  redraw();
}

/** A histogram with its slider: absolute where one limit holds, a factor of all where they differ by language. */
function slider(trial, at, lang, moved) {
  const one = trial.facts.limits[at];
  const present = new Set(lang == null ? one.limits.filter((limit) => limit != null) : [one.limits[lang]].filter((limit) => limit != null));
  if (!present.size) return null;
  const [base] = present;
  const scaled = present.size > 1;
  const change = trial.moved.get(at);
  const values = sampleOf(trial, at, lang, scaled);
  if (!values.length) return null;
  const now = scaled ? (change?.factor ?? 1) : (lang == null ? (change?.to ?? (change?.factor ?? 1) * base) : trial.limitOf(at, lang));
  const [low, high] = range(values, scaled ? 1 : base, now);
  const whole = one.whole && !scaled;
  const step = Math.max((high - low) / STEPS, whole ? 1 : 0);
  const counts = new Float64Array(BINS);
  for (const value of values) counts[Math.min(BINS - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * BINS)))]++;
  const most = Math.sqrt(Math.max(...counts)) || 1;
  const bars = Array.from(counts, (n, bin) => {
    const height = n ? Math.max((Math.sqrt(n) / most) * 32, 1) : 0;
    return svg("rect", { x: bin, y: 34 - height, width: 0.86, height });
  });
  const picture = svg("svg", { viewBox: `0 0 ${BINS} 34`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars);
  const label = `limit-${at}`;
  const input = el("input", { type: "range", id: label, min: low, max: high, step: whole ? 1 : "any" });
  input.value = now;
  const effect = el("span", { class: "figure" });
  const shown = el("output", { for: label, class: "limit" });

  function paint() {
    const limit = Number(input.value);
    bars.forEach((bar, bin) => {
      const middle = low + ((bin + 0.5) / BINS) * (high - low);
      bar.setAttribute("class", (one.least ? middle < limit : middle > limit) ? "drop" : "keep");
    });
    let n = 0;
    for (const value of values) n += one.least ? value < limit : value > limit;
    const text = scaled ? `× ${measure(Math.round(limit * 1000) / 1000)}` : measure(whole ? limit : Number(limit.toPrecision(4)));
    shown.textContent = text;
    input.setAttribute("aria-valuetext", `${text}, ${say("limits.drops", { share: share(n / values.length, 2) })}`);
    effect.textContent = share(n / values.length, 2);
    row.classList.toggle("moved", trial.moved.has(at));
  }

  const row = el("div", { class: "slider", "data-limit": `${one.stage}.${one.field}` },
    el("label", { for: label }, el("b", {}, one.field), el("small", {}, sayReason(one.reason))),
    el("div", { class: "track" }, picture, input), shown, effect);
  input.addEventListener("input", () => {
    const to = Number(input.value);
    trial.move(at, scaled ? { factor: to } : { to, lang });
    paint();
    moved();
  });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -20, PageUp: 20 }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = Number(input.value) + by * (whole ? Math.round(step) : step);
    input.dispatchEvent(new Event("input"));
  });
  paint();
  return row;
}

/** The measures of the sample that a limit is about; as shares of their own limits where these differ. */
function sampleOf(trial, at, lang, scaled) {
  const { facts } = trial;
  const one = facts.limits[at];
  const measured = facts.measured[one.measure];
  const { lang: langs, sampled } = facts.data;
  const limits = Float64Array.from(one.limits, (limit) => (limit == null || (scaled && limit === 0) ? NaN : limit));
  const values = new Float32Array(trial.n);
  let n = 0;
  for (let row = 0; row < trial.n; row++) {
    const limit = limits[langs[row]];
    if (!sampled[row] || limit !== limit || measured[row] !== measured[row] || (lang != null && langs[row] !== lang)) continue;
    values[n++] = scaled ? measured[row] / limit : measured[row];
  }
  return values.subarray(0, n);
}

/** What a slider spans: nearly all measures, and the limits on both sides. */
function range(values, present, now) {
  const stride = Math.ceil(values.length / QUANTILE_OF);
  const sorted = values.filter((_, at) => at % stride === 0).sort();
  const at = (quantile) => sorted[Math.floor(quantile * (sorted.length - 1))];
  const low = Math.min(at(0.005), present, now);
  const high = Math.max(Math.min(at(0.99), present * 4 || Infinity), present * 1.5, now, low + 1e-6);
  return [low >= 0 && low < high / 3 ? 0 : low, high];
}

/** What to type for the limits as they are now. */
function commands(trial, facts) {
  const lines = [];
  for (const [at, change] of trial.moved) {
    const one = facts.limits[at];
    const langs = new Map(one.limits.map((_, lang) => [facts.labels.lang[lang], trial.limitOf(at, lang)]));
    const set = (path, value) => lines.push(`--set ${path}=${one.whole ? Math.round(value) : Number(value.toPrecision(4))}`);
    const known = [...langs].filter(([code, value]) => code && Number.isFinite(value));
    if (change.factor == null && change.lang == null) set(`stages.${one.stage}.${one.field}`, change.to);
    else if (change.factor == null) set(`stages.${one.stage}.by_language.${facts.labels.lang[change.lang]}.${one.field}`, change.to);
    else known.forEach(([code, value]) => set(`stages.${one.stage}.by_language.${code}.${one.field}`, value));
  }
  return lines.length > 12 ? [...lines.slice(0, 11), `… ${lines.length - 11}`].join("\n") : lines.join("\n");
}

function usedLanguages(facts) {
  const counts = new Map();
  facts.data.lang.forEach((code, row) => facts.data.sampled[row] && counts.set(code, (counts.get(code) ?? 0) + 1));
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function grouped(limits) {
  const groups = new Map();
  limits.forEach((one, at) => groups.set(one.stage, [...(groups.get(one.stage) ?? []), at]));
  return [...groups];
}
