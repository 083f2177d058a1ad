// The state of card, audit, validation and contamination, and all tables of the card.

import { el, fold, name, section } from "./dom.js";
import { count, measure, say, sayCard, share } from "./words.js";

export function checksSection(facts) {
  const { checks } = facts;
  const cards = [
    checkCard(say("card"), checks.answered === checks.questions ? "good" : "open",
      say("card.answered", { n: count(checks.answered), of: count(checks.questions) })),
    auditCard(checks.audit),
    validationCard(checks.validation),
    checkCard(say("contamination"), checks.contamination == null ? "open" : "good",
      checks.contamination == null ? say("contamination.absent") : say("contamination.dropped", { n: count(checks.contamination) })),
    checkCard(say("warnings"), checks.warnings.length ? "bad" : "good",
      checks.warnings.length ? null : say("warnings.none"), checks.warnings.map(([stage, message]) => `${stage}: ${message}`)),
  ];
  const sheets = facts.sheet.filter((one) => one.fields.length).map((one) => fold(
    el("b", {}, sayCard(one.title)), () => one.fields.flatMap(shownField), { class: "sheet" }));
  return section("checks", say("checks"), say("checks.lead"), el("div", { class: "cards" }, ...cards),
    el("h3", {}, say("sheet")), el("div", { class: "rules" }, ...sheets));
}

function auditCard(audit) {
  if (!audit) return checkCard(say("audit"), "open", say("audit.absent"));
  const { verified, wrong, unverifiable } = audit.figures;
  const failed = audit.findings.filter(([, status]) => status === "FAIL");
  return checkCard(say("audit"), failed.length || wrong ? "bad" : "good",
    say("audit.figures", { verified: count(verified), wrong: count(wrong), open: count(unverifiable) }),
    failed.map(([check, , told]) => `${check}: ${told}`));
}

function validationCard(decisions) {
  if (!decisions) return checkCard(say("validation"), "open", say("validation.absent"));
  const worse = decisions.some(([, outcome]) => outcome === "worse");
  const better = decisions.some(([, outcome]) => outcome === "better");
  return checkCard(say("validation"), worse ? "bad" : better ? "good" : "open", null,
    decisions.map(([against, outcome, because]) => `${against}: ${sayCard(outcome)} (${because})`));
}

function checkCard(title, state, sentence, lines = []) {
  return el("div", { class: `card check ${state}` }, el("h3", {}, title, el("small", {}, say(`state.${state}`))),
    sentence && el("p", {}, sentence), lines.length > 0 && el("ul", {}, ...lines.map((line) => el("li", {}, line))));
}

function shownField(field) {
  const { value } = field;
  const caption = field.caption && el("p", {}, sayCard(field.caption.text, field.caption.values));
  const method = field.method && el("p", { class: "note" }, sayCard(field.method), field.scope && ` · ${sayCard(field.scope)}`);
  return [caption, method, shownValue(value)].filter(Boolean);
}

function shownValue(value) {
  if (value.kind === "grid") return grid(value);
  if (value.kind === "line") return el("p", {}, sayCard(value.text, value.values));
  if (value.kind === "points") return el("ul", {}, ...value.lines.map((line) => el("li", {}, sayCard(line.text, line.values))));
  if (value.kind === "code") return el("pre", { tabindex: "0" }, value.text);
  return el("div", {}, el("h4", {}, sayCard(value.question)), el("p", { class: value.text ? "said" : "note" }, value.text ?? sayCard("Not stated.")));
}

function grid(value) {
  const kinds = value.columns.map(([, kind]) => kind);
  return el("div", { class: "wide", tabindex: "0" }, el("table", {},
    el("thead", {}, el("tr", {}, ...value.columns.map(([title, kind]) => el("th", { scope: "col", class: kind }, sayCard(title))))),
    el("tbody", {}, ...value.rows.map((row) => el("tr", {}, ...row.map((cell, at) => el("td", { class: kinds[at] }, shownCell(cell, kinds[at]))))))));
}

function shownCell(cell, kind) {
  if (cell == null) return kind === "name" ? sayCard("(not stated)") : "";
  if (typeof cell === "boolean") return sayCard(cell ? "yes" : "no");
  if (typeof cell === "string") return kind === "told" ? sayCard(cell) : name(cell);
  if (kind === "counts") return cell.map(([label, n]) => `${label} ${count(n)}`).join(", ");
  if (Array.isArray(cell)) return cell.map((part) => share(part, 2)).join(" – ");
  if (kind === "share") return share(cell, 2);
  if (kind === "thousandths") return share(cell, 3);
  return measure(cell);
}
