"""The sabotage table: ways to make a card lie, each with the check that must catch it; its author covers his traces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.manifest import StageCount
from pipeline.core.shards import read_table, write_table
from pipeline.core.validation import CURATED, Decision, HeldOutSheet, RunSheet, Validation, compare
from pipeline.core.validation import FILE as VALIDATION
from pipeline.report.audit import CHECKS
from pipeline.report.card import render_again
from pipeline.run.remove import remove
from tests.report.audit.conftest import BENCHMARK, QUESTION, Saboteur, sentences

Lie = Callable[[Saboteur], Any]
LIES: dict[str, tuple[str, Lie]] = {}
"""By name the check that claims it, and the deed."""


def caught_by(check: str) -> Callable[[Lie], Lie]:
    def enter(lie: Lie) -> Lie:
        LIES[lie.__name__] = (check, lie)
        return lie

    return enter


def flip(s: Saboteur, name: str) -> None:
    path = s.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def edit(s: Saboteur, name: str, pattern: str, by: str) -> None:
    path = s.folder / name
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, by, text, count=1)
    assert changed != text, "the lie is not told"
    path.write_text(changed, encoding="utf-8")


def first(s: Saboteur, **changes: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [{**rows[0], **changes}, *rows[1:]]


@caught_by("files")
def a_bit_of_a_document_is_flipped(s: Saboteur) -> None:
    flip(s, s.manifest.documents[0].path)


@caught_by("files")
def a_bit_of_a_packed_row_is_flipped(s: Saboteur) -> None:
    flip(s, s.manifest.tokens[0].path)


@caught_by("files")
def a_shard_is_missing(s: Saboteur) -> None:
    (s.folder / s.manifest.documents[-1].path).unlink()


@caught_by("files")
def a_shard_lies_there_that_nobody_counted(s: Saboteur) -> None:
    write_table(s.folder / "documents" / "shard-00099.arrow", read_table(s.folder / s.manifest.documents[0].path))


@caught_by("files")
def a_shard_stands_for_another(s: Saboteur) -> None:
    one, two = (s.folder / file.path for file in s.manifest.documents[:2])
    content = one.read_bytes()
    one.unlink()
    one.write_bytes(two.read_bytes())
    two.unlink()
    two.write_bytes(content)


@caught_by("files")
def another_token_ends_a_document(s: Saboteur) -> None:
    path = s.folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": "a"}))


@caught_by("files")
def a_chat_template_is_slipped_in(s: Saboteur) -> None:
    (s.folder / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}")


@caught_by("files")
def the_manifest_is_stale(s: Saboteur) -> None:
    before = (s.folder / "manifest.json").read_text(encoding="utf-8")
    s.rewrite("documents", lambda rows: rows[:-1])
    s.cover()
    (s.folder / "manifest.json").write_text(before, encoding="utf-8")
    render_again(s.folder)


@caught_by("files")
def a_file_outside_is_listed(s: Saboteur) -> None:
    file = s.manifest.documents[0].model_copy(update={"path": "../../../etc/passwd"})
    s.claim(documents=(file, *s.manifest.documents[1:]))


@caught_by("rows")
def rows_are_counted_twice(s: Saboteur) -> None:
    one, two, *more = s.manifest.documents
    shifted = (one.model_copy(update={"rows": one.rows + 1}), two.model_copy(update={"rows": two.rows - 1}), *more)
    s.claim(documents=shifted)


@caught_by("columns")
def a_column_is_dropped_from_one_shard(s: Saboteur) -> None:
    path = s.folder / s.manifest.documents[0].path
    table = read_table(path).drop_columns(["terms"])
    path.unlink()
    write_table(path, table)
    s.cover()


@caught_by("columns")
def an_id_is_taken_away(s: Saboteur) -> None:
    s.rewrite("documents", first(s, id=None))
    s.cover()


@caught_by("root")
def two_texts_change_places(s: Saboteur) -> None:
    def swap(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[0]["text"], rows[1]["text"] = rows[1]["text"], rows[0]["text"]
        return rows

    s.rewrite("documents", swap)
    s.cover(root=False)


@caught_by("root")
def another_page_is_named_as_the_origin(s: Saboteur) -> None:
    s.rewrite("documents", first(s, url="https://innocent.org/"))
    s.cover(root=False)


@caught_by("root")
def another_root_is_stated(s: Saboteur) -> None:
    s.claim(root="0" * 64)


@caught_by("tokenizer")
def two_texts_change_places_and_the_root_with_them(s: Saboteur) -> None:
    def swap(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[0]["text"], rows[1]["text"] = rows[1]["text"], rows[0]["text"]
        return rows

    s.rewrite("documents", swap)
    s.cover()


@caught_by("recipe")
def recipe_yaml_is_another(s: Saboteur) -> None:
    edit(s, "recipe.yaml", "min_characters: 100", "min_characters: 1000")


@caught_by("card")
def a_number_in_the_card_is_edited(s: Saboteur) -> None:
    edit(s, "README.md", r"\| `good` \| \d+", "| `good` | 9999")


@caught_by("card")
def the_size_category_is_another(s: Saboteur) -> None:
    edit(s, "README.md", "n<1K", "1M<n<10M")


@caught_by("card")
def a_warning_is_left_out_of_the_card(s: Saboteur) -> None:
    edit(s, "README.md", r"\| `length` \| removed [^\n]*\n", "")


@caught_by("card")
def other_words_are_put_into_the_authors_mouth(s: Saboteur) -> None:
    edit(s, "README.md", r"me\\@example.org", "you\\\\@example.org")


@caught_by("composition")
def documents_of_a_language_are_exaggerated(s: Saboteur) -> None:
    one, two, *more = s.manifest.composition
    sizes = [
        group.size.model_copy(update={"documents": group.size.documents + by}) for group, by in ((one, 5), (two, -5))
    ]
    s.claim(
        composition=(*(g.model_copy(update={"size": size}) for g, size in zip((one, two), sizes, strict=True)), *more)
    )


@caught_by("composition")
def characters_are_exaggerated(s: Saboteur) -> None:
    group, *more = s.manifest.composition
    size = group.size.model_copy(update={"characters": group.size.characters + 1})
    s.claim(composition=(group.model_copy(update={"size": size}), *more))


@caught_by("licences")
def another_licence_is_stated(s: Saboteur) -> None:
    groups = [g.model_copy(update={"license": "CC0-1.0"}) for g in s.manifest.composition]
    s.claim(composition=tuple(groups))


@caught_by("licences")
def another_licence_is_written_into_every_document(s: Saboteur) -> None:
    for at in range(len(s.manifest.documents)):
        s.rewrite("documents", lambda rows: [{**row, "license": "CC0-1.0"} for row in rows], at)
    s.cover()


@caught_by("texts")
def duplicates_are_added_again(s: Saboteur) -> None:
    row = read_table(s.folder / s.manifest.documents[1].path).to_pylist()[3]
    s.add((row["lang"], row["text"]))
    s.cover()


@caught_by("near_duplicates")
def near_duplicates_are_added_again(s: Saboteur) -> None:
    row = read_table(s.folder / s.manifest.documents[1].path).to_pylist()[3]
    s.add((row["lang"], row["text"].replace("near", "beside", 1)))
    s.cover()


@caught_by("language")
def another_language_is_mixed_in(s: Saboteur) -> None:
    s.add(*(("en", sentences("de", f"mixed/{n}")) for n in range(40)))
    s.cover()


@caught_by("rules")
def another_language_is_mixed_in_sparingly(s: Saboteur) -> None:
    s.add(("en", sentences("de", "mixed")))
    s.cover()


@caught_by("rules")
def what_a_rule_had_dropped_is_added_again(s: Saboteur) -> None:
    s.add(("en", "Too short."))
    s.cover()


@caught_by("rules")
def a_score_is_polished(s: Saboteur) -> None:
    s.rewrite("documents", first(s, lang_score=0.31))
    s.cover()


@caught_by("personal_data")
def addresses_are_put_back(s: Saboteur) -> None:
    s.add(*(("en", sentences("en", f"mail/{n}") + f" Write to ann.miller{n}@gmail.com.") for n in range(3)))
    s.cover()


@caught_by("contamination")
def questions_of_a_benchmark_are_added(s: Saboteur) -> None:
    s.add(*(("en", f"{sentences('en', f'bench/{n}')} {BENCHMARK}.") for n in range(2)))
    s.cover()


@caught_by("contamination")
def questions_of_a_file_that_the_recipe_names_are_added(s: Saboteur) -> None:
    s.add(*(("en", f"{sentences('en', f'file/{n}')} {QUESTION}") for n in range(2)))
    s.cover()


@caught_by("funnel")
def a_stage_kept_more_than_the_next_one_read(s: Saboteur) -> None:
    sweep, *more = s.manifest.sweeps
    stages = list(sweep.stages)
    size = stages[-2].kept.model_copy(update={"characters": stages[-2].kept.characters + 7})
    stages[-2] = stages[-2].model_copy(update={"kept": size})
    s.claim(sweeps=(sweep.model_copy(update={"stages": tuple(stages)}), *more))


@caught_by("funnel")
def a_stage_is_claimed_that_never_ran(s: Saboteur) -> None:
    s.claim(recipe={**s.manifest.recipe, "stages": [*s.manifest.recipe["stages"], "gopher"]})


@caught_by("funnel")
def a_stage_is_left_out_of_the_recipe(s: Saboteur) -> None:
    s.claim(recipe={**s.manifest.recipe, "stages": [x for x in s.manifest.recipe["stages"] if x != "exact"]})


@caught_by("ledger")
def a_row_of_a_ledger_is_gone(s: Saboteur) -> None:
    path = next(p for p in sorted((s.folder.parent / "store").glob("*/ledger/*.arrow")) if read_table(p).num_rows)
    table = read_table(path)
    path.unlink()
    write_table(path, table.slice(1))


@caught_by("ledger")
def documents_are_dropped_for_a_nicer_reason(s: Saboteur) -> None:
    def nicer(count: StageCount) -> StageCount:
        n = sum(count.dropped.values())
        return count.model_copy(update={"dropped": {"shortened": n}}) if n else count

    sweeps = s.manifest.sweeps
    s.claim(sweeps=tuple(w.model_copy(update={"stages": tuple(map(nicer, w.stages))}) for w in sweeps))


@caught_by("removed")
def a_document_that_was_taken_down_is_back(s: Saboteur) -> None:
    name = read_table(s.folder / s.manifest.documents[0].path)["id"][0].as_py()
    stones = {"before": "", "tombstones": [{"id": name, "reason": "asked", "date": "2026-11-24"}]}
    (s.folder / "removed.json").write_text(json.dumps(stones), encoding="utf-8")


@caught_by("removed")
def more_was_taken_down_than_is_told(s: Saboteur) -> None:
    remove(s.folder, [str(read_table(s.folder / s.manifest.documents[0].path)["id"][0])], "asked", "2026-11-24")
    (s.folder / "removed.json").write_text(json.dumps({"before": "", "tombstones": []}), encoding="utf-8")


@caught_by("warnings")
def a_warning_is_hushed_up(s: Saboteur) -> None:
    assert s.manifest.warnings
    s.claim(warnings=())


@caught_by("validation")
def a_verdict_is_better_than_its_runs(s: Saboteur) -> None:
    def run(arm: str, seed: int, bits: float) -> RunSheet:
        sheet = {"arm": arm, "seed": seed, "tier": "ngram", "rate": 1.0, "tokens": 1, "epochs": 1.0}
        return RunSheet.model_validate({**sheet, "bits_per_byte": {"out/en": bits + seed / 100}})

    runs = tuple(run(arm, seed, bits) for arm, bits in ((CURATED, 2.2), ("raw", 2.0)) for seed in range(5))
    texts = {"name": "out", "in_domain": False, "documents": 9, "bytes": 9, "left_out": 0, "domains": {"out/en": 9}}
    held_out = (HeldOutSheet.model_validate({**texts, "digest": "0"}),)
    comparisons = compare(runs, held_out, 0.01)
    told = Validation(
        gristmill="1",
        corpus=s.manifest.digest,
        settings={"min_effect": 0.01},
        arms=(),
        held_out=held_out,
        runs=runs,
        comparisons=comparisons,
        decisions=(Decision(against="raw", outcome="better", because="fewer bits"),),
        bootstrap={},
        limits=(),
    )
    (s.folder / VALIDATION).write_text(told.to_json(), encoding="utf-8")
    render_again(s.folder)


@caught_by("trials")
def a_detector_is_praised(s: Saboteur) -> None:
    held = s.manifest.trials["pii"]
    best = tuple(trial.model_copy(update={"found": trial.planted, "false_alarms": 0}) for trial in held)
    s.claim(trials={**s.manifest.trials, "pii": best})


@caught_by("tokens")
def a_document_is_removed_and_counts_are_fixed(s: Saboteur) -> None:
    s.rewrite("documents", lambda rows: rows[1:])
    s.cover()


@caught_by("tokens")
def a_document_is_added_and_counts_are_fixed(s: Saboteur) -> None:
    s.add(("en", sentences("en", "quite new")))
    s.cover()


@caught_by("tokens")
def a_packed_row_is_left_out(s: Saboteur) -> None:
    s.rewrite("tokens", lambda rows: rows[1:], -1)
    s.cover()


@caught_by("tokens")
def padding_is_played_down(s: Saboteur) -> None:
    s.claim(facts={**s.manifest.facts, "train_padding": 0})


@caught_by("tokenizer")
def a_token_is_another(s: Saboteur) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[0]["input_ids"][5] = (rows[0]["input_ids"][5] + 1) % 256
        return rows

    s.rewrite("tokens", change, -1)
    s.cover()


@caught_by("tokenizer")
def the_tokenizer_is_swapped(s: Saboteur) -> None:
    path = s.folder / "tokenizer" / "tokenizer.json"
    model = json.loads(path.read_text(encoding="utf-8"))
    merges = model["model"]["merges"]
    model["model"]["merges"] = merges[: len(merges) // 2]
    path.unlink()
    path.write_text(json.dumps(model), encoding="utf-8")
    s.cover()


@caught_by("rebuild")
def a_text_is_written_anew_with_all_that_follows(s: Saboteur) -> None:
    for at in range(len(s.manifest.documents)):
        s.rewrite("documents", lambda rows: [{**row, "text": row["text"] + " Amen."} for row in rows], at)
    s.cover()


@caught_by("rebuild")
def a_document_is_left_out_with_all_that_follows(s: Saboteur) -> None:
    for at in range(len(s.manifest.documents)):
        s.rewrite("documents", lambda rows: rows[:-1], at)
    s.cover()


@caught_by("rebuild")
def the_inputs_are_said_to_be_others(s: Saboteur) -> None:
    s.claim(inputs=tuple(item.model_copy(update={"sha256": "0" * 64}) for item in s.manifest.inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_caught_by_the_check_that_claims_it(name: str, saboteur: Saboteur) -> None:
    check, lie = LIES[name]
    lie(saboteur)
    asked = {"rebuild": check == "rebuild"}
    outcome = saboteur.caught_by(check, **asked)
    assert outcome.status == "FAIL", outcome.said


def test_the_table_is_long_enough_and_every_check_that_can_fail_is_in_it() -> None:
    assert len(LIES) >= 25
    for document in ("README.md", "CHANGELOG.md"):
        text = (Path(__file__).parents[3] / document).read_text(encoding="utf-8")
        assert f"{len(LIES)} ways to make a card lie" in text, f"{document} quotes another number of lies"
    only_measures = {"domains"}
    elsewhere = {"attested"}
    assert {check for check, _ in LIES.values()} == set(CHECKS) - only_measures - elsewhere
