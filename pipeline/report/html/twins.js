// Clusters of near-duplicates: what was dropped beside what was kept, the differences marked.

import { el, fold, name, section } from "./dom.js";
import { count, measure, say } from "./words.js";

export function twinsSection(facts, pick) {
  if (!facts.clusters.length) return null;
  const folds = facts.clusters.map((cluster) => fold(
    el("span", { class: "rule" }, el("b", {}, say("twins.cluster", { n: count(cluster.size) })), name(opening(cluster), { class: "quiet clip" })),
    () => cluster.pairs.map((pair) => shownPair(facts, cluster, pair, pick)), { class: "cluster" }));
  return section("twins", say("twins"), say("twins.lead"), el("div", { class: "rules" }, ...folds));
}

function opening(cluster) {
  return cluster.pairs[0].texts[1].map(([text]) => text).join("").slice(0, 120);
}

function shownPair(facts, cluster, pair, pick) {
  const value = facts.data?.value[pair.row];
  const told = Number.isFinite(value)
    ? say("twins.judged", { value: measure(value), limit: measure(facts.data.limit[pair.row]) })
    : say("twins.jaccard", { value: measure(pair.jaccard) });
  return el("div", { class: "pair" }, el("p", { class: "note" }, `${cluster.stage} · ${told}`),
    el("div", { class: "columns" },
      side(say("dropped"), pair.texts[0], "del", () => pick({ row: pair.row })),
      side(say("kept.instead"), pair.texts[1], "ins", () => pick({ row: cluster.twin }))));
}

function side(title, pieces, tag, open) {
  return el("div", {}, el("h3", {}, title, " ", el("button", { type: "button", class: "link", on: { click: open } }, say("open"))),
    el("div", { class: "text", dir: "auto", tabindex: "0" },
      ...pieces.map(([text, shared]) => (shared ? el("span", { class: "shared" }, text) : el(tag, {}, text)))));
}
