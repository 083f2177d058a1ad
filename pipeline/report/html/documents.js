// Search and browse: a list of any length of which only the rows in sight exist, and one document beside it.

import { button, el, name, section } from "./dom.js";
import { languageName, markedText, verdictParts } from "./rules.js";
import { count, measure, say, sayReason } from "./words.js";

const ROW = 68;
const AROUND = 6;

export function documentsSection(facts) {
  const { documents } = facts;
  const lead = say("documents.lead", { n: count(documents.sampled), of: count(documents.total) });
  if (!documents.text) return section("documents", say("documents"), `${lead} ${say("no.text")}`);
  const cut = say("documents.cut", { n: count(documents.cut) });
  return section("documents", say("documents"), `${lead} ${cut}`, el("div", { class: "browser", "aria-busy": "true" }, el("p", { class: "note" }, say("loading"))));
}

/** Once columns and texts are there; returns `pick`, which filters the list or opens a document. */
export function fillDocuments(facts) {
  const box = document.querySelector("#documents .browser");
  if (!box) return () => {};
  const { data, labels, fates } = facts;
  const filter = (facts.filter ??= {});
  let rows = [];
  let active = 0;
  let first = -1;

  const search = el("input", { type: "search", id: "search", placeholder: say("search.placeholder"), "aria-label": say("search"), autocomplete: "off", spellcheck: "false" });
  search.value = filter.text ?? "";
  const fate = select("fate", [["kept", say("kept")], ["dropped", say("dropped")], ...fates.map(([stage, reason], at) => [String(at + 1), `${stage}: ${sayReason(reason)}`])], say("any.fate"));
  const lang = select("lang", codes("lang").map((code) => [String(code), languageName(labels.lang[code])]), say("all.languages"));
  const source = select("source", codes("source").map((code) => [String(code), labels.source[code] || say("none")]), say("all.sources"));
  const told = el("output", { class: "note", id: "found", "aria-live": "polite" });
  const chips = el("span", { class: "chips" });
  const spacer = el("div", { class: "spacer" });
  const view = el("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": say("documents"), "aria-describedby": "found" }, spacer);
  const panel = el("article", { class: "document", tabindex: "-1", "aria-live": "polite" }, el("p", { class: "note" }, say("documents.choose")));

  function select(key, choices, all) {
    const made = el("select", { id: `filter-${key}`, "aria-label": say(`filter.${key}`) }, el("option", { value: "" }, all),
      ...choices.map(([value, label]) => el("option", { value }, label)));
    made.value = filter[key] ?? "";
    made.addEventListener("change", () => {
      filter[key] = made.value;
      refresh();
    });
    return made;
  }

  function codes(key) {
    const counts = new Float64Array(labels[key].length);
    data[key].forEach((code) => counts[code]++);
    return labels[key].map((_, code) => code).filter((code) => counts[code]).sort((a, b) => counts[b] - counts[a]);
  }

  function refresh() {
    rows = matching(facts, filter);
    active = 0;
    first = -1;
    view.scrollTop = 0;
    spacer.style.height = `${rows.length * ROW}px`;
    told.textContent = say("documents.found", { n: count(rows.length) });
    chips.replaceChildren(...["license", "domain", "year", "stage", "changed"].filter((key) => filter[key] != null).map(chip));
    paint(true);
  }

  function chip(key) {
    const label = key === "changed" ? say("limits.show") : `${say(`filter.${key}`)}: ${filter[key] === "" ? say("none") : filter[key]}`;
    return button(`${label} ×`, () => {
      delete filter[key];
      refresh();
    }, { class: "chip" });
  }

  function paint(force = false) {
    const from = Math.max(0, Math.floor(view.scrollTop / ROW) - AROUND);
    if (from === first && !force) return;
    first = from;
    const to = Math.min(rows.length, from + Math.ceil(view.clientHeight / ROW) + 2 * AROUND);
    spacer.replaceChildren(...Array.from({ length: Math.max(0, to - from) }, (_, at) => option(from + at)));
    view.setAttribute("aria-activedescendant", rows.length ? `option-${active}` : "");
  }

  function option(at) {
    const row = rows[at];
    return el("div", { class: "option", role: "option", id: `option-${at}`, "aria-selected": String(at === active), "aria-setsize": rows.length, "aria-posinset": at + 1,
      style: { top: `${at * ROW}px` }, on: { click: () => choose(at) } },
    el("span", { class: "line" }, badge(facts, row), el("span", { class: "quiet" }, languageName(labels.lang[data.lang[row]])),
      name(facts.urls[row] || facts.ids[row], { class: "quiet clip" })),
    el("span", { class: "line clip", dir: "auto" }, facts.texts[row].slice(0, 200) || say("empty")));
  }

  function choose(at, open = true) {
    if (!rows.length) return;
    active = Math.min(Math.max(at, 0), rows.length - 1);
    const top = active * ROW;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
    paint(true);
    if (open) show(rows[active]);
  }

  function show(row) {
    panel.replaceChildren(...documentParts(facts, row, show));
    panel.scrollTop = 0;
  }

  view.addEventListener("scroll", () => paint());
  view.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(view.clientHeight / ROW) - 1);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined && event.key !== "Enter") return;
    event.preventDefault();
    choose(to ?? active);
    if (event.key === "Enter") panel.focus();
  });
  panel.addEventListener("keydown", (event) => event.key === "Escape" && view.focus());
  let wait = 0;
  function searched() {
    clearTimeout(wait);
    if (filter.text === search.value) return;
    filter.text = search.value;
    refresh();
  }
  search.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(searched, 120);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      searched();
      view.focus();
      choose(0);
    }
  });

  const clear = button(say("clear"), () => {
    for (const key of Object.keys(filter)) delete filter[key];
    search.value = fate.value = lang.value = source.value = "";
    refresh();
    search.focus();
  }, { class: "ghost" });
  box.removeAttribute("aria-busy");
  box.replaceChildren(el("div", { class: "filters" }, search, fate, lang, source, clear), el("p", { class: "status" }, told, " ", chips),
    el("div", { class: "split" }, view, panel));
  refresh();

  return (wanted) => {
    if (wanted.row != null) show(wanted.row);
    else {
      for (const key of Object.keys(filter)) delete filter[key];
      Object.assign(filter, toFilter(facts, wanted));
      search.value = "";
      [fate.value, lang.value, source.value] = [filter.fate ?? "", filter.lang ?? "", filter.source ?? ""];
      refresh();
    }
    document.querySelector("#documents").scrollIntoView();
    view.focus({ preventScroll: true });
  };
}

/** What pictures and bars ask for, as the filters have it. */
function toFilter(facts, wanted) {
  const filter = {};
  const { labels } = facts;
  if (wanted.kept) filter.fate = "kept";
  if (wanted.reason != null) filter.fate = String(facts.fates.findIndex(([stage, reason]) => stage === wanted.stage && reason === wanted.reason) + 1);
  else if (wanted.stage != null) filter.stage = wanted.stage;
  for (const key of ["lang", "source"]) if (wanted[key] != null) filter[key] = String(labels[key].indexOf(wanted[key]));
  for (const key of ["license", "domain", "year", "changed"]) if (wanted[key] != null) filter[key] = wanted[key];
  return filter;
}

/** The rows that a filter lets through, in the order of their draws. */
export function matching(facts, filter) {
  const { data, labels, fates } = facts;
  const tests = [];
  if (filter.fate === "kept") tests.push((row) => data.fate[row] === 0);
  else if (filter.fate === "dropped") tests.push((row) => data.fate[row] > 0);
  else if (filter.fate) tests.push((row) => data.fate[row] === Number(filter.fate));
  if (filter.stage != null) tests.push((row) => data.fate[row] > 0 && fates[data.fate[row] - 1][0] === filter.stage);
  for (const key of ["lang", "source"]) if (filter[key]) tests.push((row) => data[key][row] === Number(filter[key]));
  for (const key of ["license", "domain"]) {
    if (filter[key] == null) continue;
    const code = labels[key].indexOf(filter[key]);
    tests.push((row) => data[key][row] === code);
  }
  if (filter.year != null) tests.push((row) => data.year[row] === filter.year);
  if (filter.changed) tests.push((row) => filter.changed[row] > 0);
  const words = (filter.text ?? "").trim().toLowerCase();
  if (words) {
    facts.lower ??= facts.all.map((texts) => texts.map((text) => text.toLowerCase()));
    tests.push((row) => facts.lower.some((texts) => texts[row].includes(words)));
  }
  const rows = [];
  for (let row = 0; row < facts.documents.n; row++) if (tests.every((test) => test(row))) rows.push(row);
  return rows;
}

function badge(facts, row) {
  const fate = facts.data.fate[row];
  return el("span", { class: fate ? "badge drop" : "badge keep" }, fate ? sayReason(facts.fates[fate - 1][1]) : say("kept"));
}

function documentParts(facts, row, show) {
  const { data, labels, fates } = facts;
  const fate = data.fate[row];
  const twin = data.twin[row] ? data.twin[row] - 1 : null;
  const [stage, reason] = fate ? fates[fate - 1] : [];
  const told = { id: facts.ids[row], url: facts.urls[row], source: labels.source[data.source[row]], licence: labels.license[data.license[row]],
    domain: labels.domain[data.domain[row]], year: data.year[row] || "", characters: count(data.characters[row]) };
  const list = el("dl", {}, ...Object.entries(told).filter(([, value]) => value).flatMap(([key, value]) => [el("dt", {}, say(`fact.${key}`)), el("dd", {}, name(value))]));
  return [
    el("header", {}, badge(facts, row), fate > 0 && el("small", {}, stage), ...verdictParts(facts, row, null)),
    facts.long[row] ? markedText(facts.long[row], reason) : el("div", { class: "text", dir: "auto", tabindex: "0" }, facts.texts[row] || say("empty")),
    twin != null && button(say("twin"), () => show(twin), { class: "link" }), list, measuresOf(facts, row),
  ].filter(Boolean);
}

/** Every limit and what this document measures by it. */
function measuresOf(facts, row) {
  const rows = facts.limits.map((one) => [one, facts.measured[one.measure][row], one.limits[facts.data.lang[row]]])
    .filter(([, value, limit]) => limit != null && !Number.isNaN(value))
    .map(([one, value, limit]) => {
      const beyond = one.least ? value < Math.fround(limit) : value > Math.fround(limit);
      return el("tr", { class: beyond ? "beyond" : "" }, el("th", { scope: "row" }, `${one.stage}.${one.field}`), el("td", { class: "number" }, measure(value)),
        el("td", { class: "number" }, `${one.least ? "≥" : "≤"} ${measure(limit)}`));
    });
  return rows.length > 0 && el("details", { class: "measures" }, el("summary", {}, say("measures.all", { n: count(rows.length) })),
    el("table", {}, el("thead", {}, el("tr", {}, ...["limit", "measured", "allowed"].map((head) => el("th", { scope: "col" }, say(head))))), el("tbody", {}, ...rows)));
}
