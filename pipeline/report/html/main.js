// The page: facts first, then the numbers of the sample, then its texts, so that something is there at once.

import { contentSection, fillContent, tokensSection } from "./content.js";
import { toArrays, unpack, unpackText } from "./decode.js";
import { documentsSection, fillDocuments } from "./documents.js";
import { button, el } from "./dom.js";
import { funnelSection } from "./funnel.js";
import { fillLimits, limitsSection } from "./limits.js";
import { rulesSection } from "./rules.js";
import { checksSection } from "./sheet.js";
import { twinsSection } from "./twins.js";
import { brief, count, LANGUAGES, language, say, share, speak } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const page = document.getElementById("page");
const root = document.documentElement;
let facts;
let go = () => {};
const pick = (wanted) => go(wanted);

function render() {
  document.title = `${facts.title} · ${say("report")}`;
  const sections = [funnelSection(facts, pick), rulesSection(facts, pick), limitsSection(facts, pick), contentSection(facts, pick),
    twinsSection(facts, pick), tokensSection(facts), checksSection(facts), documentsSection(facts)].filter(Boolean);
  const links = sections.map((one) => el("a", { href: `#${one.id}` }, one.querySelector("h2").textContent));
  page.replaceChildren(
    el("a", { class: "skip", href: "#documents" }, say("skip")),
    header(),
    el("nav", { "aria-label": say("sections") }, el("div", {}, ...links)),
    el("main", {}, ...sections),
    el("footer", {}, el("p", {}, say("footer", { version: facts.gristmill })), el("p", {}, say("footer.texts")),
      facts.documents.missing.length > 0 && el("p", {}, say("missing", { names: facts.documents.missing.join(", ") }))));
  fill();
}

function header() {
  const read = facts.funnel.stages.filter((stage) => stage.source != null).reduce((sum, stage) => sum + stage.read, 0);
  const tokens = facts.tokens.reduce((sum, row) => sum + row[2], 0);
  const characters = facts.composition.lang.reduce((sum, row) => sum + row[2], 0);
  const figures = [[count(read), "read"], [count(facts.funnel.kept), "kept"], [share(facts.funnel.kept / read), "share.kept"],
    [brief(characters), "characters"], tokens && [brief(tokens), "tokens"], [count(facts.composition.lang.length), "languages"]];
  const lang = el("select", { id: "language", "aria-label": say("language.choose") },
    ...LANGUAGES.map((code) => el("option", { value: code, selected: code === language() }, { en: "English", zh: "中文" }[code])));
  lang.addEventListener("change", () => {
    speak(lang.value);
    render();
    document.getElementById("language").focus();
  });
  const theme = button(say(`theme.${root.dataset.theme ?? "auto"}`), () => {
    setTheme(THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length]);
    theme.textContent = say(`theme.${root.dataset.theme ?? "auto"}`);
  }, { id: "theme", class: "ghost" });
  return el("header", { class: "top" },
    el("div", { class: "controls" }, lang, theme),
    el("p", { class: "kicker" }, `${facts.name} ${facts.version}`),
    el("h1", {}, facts.title), facts.description && el("p", { class: "lead" }, facts.description),
    el("dl", { class: "figures" }, ...figures.filter(Boolean).map(([figure, key]) => el("div", {}, el("dt", {}, say(key)), el("dd", {}, figure)))));
}

function setTheme(theme) {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
}

/** What needs the columns and the texts, as far as these are there. */
function fill() {
  if (!facts.data) return;
  fillContent(facts, pick);
  page.querySelectorAll(".rules div").forEach((box) => box.dispatchEvent(new Event("gristmill:columns")));
  if (facts.texts) go = fillDocuments(facts);
  return new Promise((done) => setTimeout(() => done(fillLimits(facts, pick))));
}

const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

function mark(name) {
  performance.mark(`gristmill:${name}`);
  root.dataset.ready = name;
}

async function start() {
  facts = JSON.parse(await unpackText("facts"));
  speak(root.lang, facts.words);
  render();
  mark("facts");
  await painted();
  const columns = await unpack("columns");
  const measures = await unpack("measures");
  facts.data = toArrays(columns, facts.columns);
  facts.measured = Object.values(toArrays(measures, facts.measures));
  if (facts.documents.text) {
    const [ids, urls, texts] = await Promise.all(["ids", "urls", "texts"].map(unpackText));
    facts.all = [ids, urls, texts].map((lines) => lines.split("\0"));
    [facts.ids, facts.urls, facts.texts] = facts.all;
  }
  const limits = fill();
  mark("documents");
  await limits;
  mark("all");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  const search = document.getElementById("search");
  if (!search) return;
  event.preventDefault();
  search.scrollIntoView({ block: "center" });
  search.focus();
});

start();
