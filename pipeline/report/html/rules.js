// Every rule with its share; opened, what it removed beside what barely survived, marked where it fired.

import { el, fold, name, section } from "./dom.js";
import { count, language, measure, say, sayReason, share } from "./words.js";

const languages = new Map();

export function rulesSection(facts, pick) {
  const dropping = facts.funnel.stages
    .flatMap((stage) => stage.reasons.map(([reason, n]) => ({ stage: stage.stage, reason, n, read: stage.read })))
    .sort((a, b) => b.n - a.n);
  const most = dropping[0]?.n ?? 1;
  const silent = facts.limits.filter((one) => !dropping.some((rule) => same(rule, one)));
  const list = el("div", { class: "rules" }, ...dropping.map((rule) => ruleRow(facts, rule, most, pick)));
  const quiet = silent.length > 0 &&
    el("p", { class: "note" }, say("rules.silent", { n: count(silent.length) }), " ",
      ...silent.flatMap((one, at) => [at ? ", " : "", el("code", {}, `${one.stage}.${one.reason}`)]));
  return section("rules", say("rules"), say(facts.documents.text ? "rules.lead" : "rules.lead.figures"), list, quiet);
}

function ruleRow(facts, rule, most, pick) {
  const bar = el("span", { class: "bar drop", style: { "--size": rule.n / most } });
  const summary = el("span", { class: "rule" },
    el("span", { class: "rule-name" }, el("b", {}, sayReason(rule.reason)), el("small", {}, `${rule.stage}.${rule.reason}`)),
    bar, el("span", { class: "figure" }, count(rule.n)), el("span", { class: "figure quiet" }, share(rule.n / rule.read, 2)));
  return fold(summary, () => opened(facts, rule, pick), { "data-rule": `${rule.stage}.${rule.reason}` });
}

function opened(facts, rule, pick) {
  const number = facts.fates.findIndex(([stage, reason]) => stage === rule.stage && reason === rule.reason);
  const limit = facts.limits.find((one) => same(rule, one));
  const removed = facts.removed[number] ?? [];
  const all = el("p", {}, el("button", { type: "button", class: "link", on: { click: () => pick(rule) } },
    say("rules.all", { n: count(rule.n) })));
  if (!facts.documents.text) return [el("p", { class: "note" }, say("no.text")), all];
  const columns = [exampleColumn(say("rules.removed"), removed, facts, rule.reason, limit)];
  if (limit) columns.push(exampleColumn(say("rules.survived"), limit.survivors, facts, rule.reason, limit));
  return [el("div", { class: "columns" }, ...columns), all];
}

function exampleColumn(title, rows, facts, reason, limit) {
  const cards = rows.map((row) => el("article", { class: "example", "data-row": row },
    el("header", { class: "values", "data-row": row }), markedText(facts.long[row], reason)));
  const box = el("div", {}, el("h3", {}, title), ...cards, rows.length === 0 && el("p", { class: "note" }, say("rules.none")));
  box.addEventListener("gristmill:columns", () => fillValues(box, facts, limit));
  fillValues(box, facts, limit);
  return box;
}

/** The measured value against its limit; columns come later than the facts. */
function fillValues(box, facts, limit) {
  if (!facts.data) return;
  for (const header of box.querySelectorAll("header.values")) {
    const row = Number(header.dataset.row);
    header.replaceChildren(...verdictParts(facts, row, limit));
  }
}

/** Language, source and, where there are numbers, how the value stands to its limit. */
export function verdictParts(facts, row, limit) {
  const { data } = facts;
  const lang = facts.labels.lang[data.lang[row]];
  const ledger = data.fate[row] > 0 || !limit;
  const value = ledger ? data.value[row] : facts.measured[limit.measure][row];
  const bound = ledger ? data.limit[row] : limit.limits[data.lang[row]];
  const sign = value === Math.fround(bound) ? "=" : value < bound ? "<" : ">";
  const numbers = Number.isFinite(value) &&
    el("span", { class: "value" }, el("b", {}, measure(value)),
      Number.isFinite(bound) && ` ${sign} ${say("limit")} ${measure(bound)}`);
  const detail = facts.labels.detail[data.detail[row]];
  return [numbers, el("span", {}, languageName(lang)), name(facts.labels.source[data.source[row]]),
    detail && name(detail, { class: "detail" })].filter(Boolean);
}

/** A text with the places marked where the rule fired; lines as they are. */
export function markedText(long, reason) {
  const box = el("div", { class: "text", dir: "auto", tabindex: "0" });
  if (!long) return box;
  // Places count characters, JavaScript counts UTF-16 units.
  const characters = /[\ud800-\udbff]/.test(long.text) ? Array.from(long.text) : long.text;
  const piece = (from, to) => (typeof characters === "string" ? characters.slice(from, to) : characters.slice(from, to).join(""));
  let at = 0;
  for (const [start, stop] of long.marks[reason] ?? []) {
    box.append(piece(at, start), el("mark", {}, piece(start, stop)));
    at = stop;
  }
  box.append(piece(at));
  return box;
}

export function languageName(code) {
  if (!code) return say("none");
  const key = `${language()} ${code}`;
  if (!languages.has(key)) languages.set(key, spelledOut(code));
  return languages.get(key);
}

function spelledOut(code) {
  try {
    return new Intl.DisplayNames([language()], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

function same(rule, other) {
  return rule.stage === other.stage && rule.reason === other.reason;
}
