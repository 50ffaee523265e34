"""`vigia models train|evaluate|score` on a small generated features file."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from features import catalog
from features.errors import BadInput, VigiaError
from models import compare as comparison
from models import train
from models.params import Member, Recipe
from models.registry import ModelRefused
from models.scorer import Scorer
from stream.cli.models import register

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, A_DAY = 8, 250


def run(*words: object) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["models", *(str(word) for word in words)])


def answer(*words: object) -> dict[str, object]:
    result = run(*words, "--json")
    assert result.exception is None, result.exception
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def error(*words: object) -> VigiaError:
    raised = run(*words).exception
    assert isinstance(raised, VigiaError), raised
    assert "\n" not in str(raised)
    return raised


def features_table() -> tuple[pa.Table, np.ndarray]:
    rng = np.random.default_rng(5)
    n, k = DAYS * A_DAY, len(catalog.NAMES)
    vectors = rng.lognormal(size=(n, k)).astype(np.float32)
    vectors[:, 50:60][rng.random((n, 10)) < 0.4] = np.nan
    fraud = rng.random(n) < 1 / (1 + np.exp(6.5 - vectors[:, 0] - vectors[:, 20] - vectors[:, 100]))
    times = [START + timedelta(days=i // A_DAY, seconds=i % A_DAY) for i in range(n)]
    columns = {
        "event_id": pa.array([f"e{i}" for i in range(n)]),
        "occurred_at": pa.array(times, pa.timestamp("us", "UTC")),
        "payer_account": pa.array([f"a{i % 300}" for i in range(n)]),
        "payee_account": pa.array([f"b{i % 50}" for i in range(n)]),
        "amount": pa.array(np.round(rng.lognormal(5, 1, n), 2).astype(str)),
    }
    columns |= {name: pa.array(vectors[:, j]) for j, name in enumerate(catalog.NAMES)}
    metadata = {"features_version": catalog.FEATURES_VERSION}
    return pa.table(columns).replace_schema_metadata(metadata), fraud


def reports_table(fraud: np.ndarray) -> pa.Table:
    ids = np.flatnonzero(fraud)
    times = [START + timedelta(days=int(i) // A_DAY + 6) for i in ids]
    return pa.table(
        {
            "report_id": [f"r{i}" for i in ids],
            "transaction_event_id": [f"e{i}" for i in ids],
            "payer_account": [f"a{i % 300}" for i in ids],
            "payee_account": [f"b{i % 50}" for i in ids],
            "reported_at": pa.array(times, pa.timestamp("ms", "UTC")),
            "status": ["CONFIRMED"] * len(ids),
            "type": ["SCAM"] * len(ids),
        }
    )


@pytest.fixture(scope="module", autouse=True)
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        light = Member("lightgbm", {"trees": 60, "lambda_l2": 1.0, "num_threads": 1})
        patch.setattr(train, "default_recipe", lambda *_: Recipe((light, replace(light, features=30))))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    table, fraud = features_table()
    pq.write_table(table, folder / "features.parquet", row_group_size=300)
    pq.write_table(reports_table(fraud), folder / "reports.parquet")
    return folder


def inputs(files: Path) -> tuple[object, ...]:
    return "--features", files / "features.parquet", "--reports", files / "reports.parquet"


SPAN = ("--train-from", "2026-03-01", "--train-to", "2026-03-05")
FILES = ["model.json", "model.onnx", "trees.npz"]
TEST = ("--from", "2026-03-06", "--to", "2026-03-08")


@pytest.fixture(scope="module")
def trained(files: Path) -> Path:
    answer("train", "pix-fraud", *inputs(files), *SPAN, "--out", files / "model")
    return files / "model"


def test_train_writes_a_model_that_loads(trained: Path) -> None:
    scorer = Scorer.load(trained)
    manifest = scorer.manifest
    assert scorer.model_id == manifest.model_id
    assert scorer.model_id.startswith("pix-fraud@")
    assert 0 < scorer.review <= scorer.deny <= 1
    assert (manifest.n, manifest.as_of.isoformat()) == (5 * A_DAY, "2026-03-13")
    assert manifest.metrics["average_precision"] > 0.3
    assert manifest.candidate == "lightgbm"
    assert manifest.params["n_trees"] == 120
    assert len(manifest.data_sha256) == 64
    assert manifest.warnings == ()
    assert sorted(path.name for path in trained.iterdir()) == FILES
    assert [path.name for path in trained.parent.iterdir() if path.name.startswith(".")] == []


def test_few_frauds_are_a_warning_that_stays_with_the_model(files: Path, tmp_path: Path) -> None:
    span = ("--train-from", "2026-03-01", "--train-to", "2026-03-02")
    told = answer("train", "pix-fraud", *inputs(files), *span, "--out", tmp_path / "m")
    (warning,) = Scorer.load(tmp_path / "m").manifest.warnings
    assert "fewer than 200" in warning
    assert told["warnings"] == [warning]


def test_the_same_input_gives_the_same_model(files: Path, trained: Path, tmp_path: Path) -> None:
    again = answer("train", "pix-fraud", *inputs(files), *SPAN, "--out", tmp_path / "m")
    assert again["model"] == Scorer.load(trained).model_id
    for name in FILES:
        assert (tmp_path / "m" / name).read_bytes() == (trained / name).read_bytes()


def test_a_search_ends_goes_on_and_feeds_train(files: Path, tmp_path: Path) -> None:
    words = ("search", "pix-fraud", *inputs(files), *SPAN, "--study", tmp_path / "study.db")
    first = answer(*words, "--trials", 2, "--out", tmp_path / "first.json")
    assert first["trials"] == 2
    assert first["average_precision"] >= first["first"]  # type: ignore[operator]
    again = answer(*words, "--trials", 3, "--out", tmp_path / "again.json")
    assert again["trials"] == 3
    assert again["average_precision"] >= first["average_precision"]  # type: ignore[operator]
    assert again["first"] == first["first"]
    out = tmp_path / "m"
    answer("train", "pix-fraud", *inputs(files), *SPAN, "--out", out, "--recipe", tmp_path / "again.json")
    found = json.loads((tmp_path / "again.json").read_text())["recipe"]["members"][0]["params"]
    stated = Scorer.load(out).manifest.params["members"][0]["params"]
    assert found.items() <= stated.items()


def test_a_study_of_other_rows_is_refused(files: Path, tmp_path: Path) -> None:
    words = (
        "search",
        "pix-fraud",
        *inputs(files),
        "--study",
        tmp_path / "s.db",
        "--out",
        tmp_path / "o.json",
    )
    answer(*words, *SPAN, "--trials", 1)
    other = ("--train-from", "2026-03-01", "--train-to", "2026-03-04")
    assert "is of other rows or settings" in str(error(*words, *other, "--trials", 1))
    table = pq.read_table(files / "features.parquet")
    name = catalog.NAMES[0]
    moved = pc.add(table[name], pa.scalar(1, pa.float32()))
    changed = table.set_column(table.schema.get_field_index(name), name, moved)
    pq.write_table(changed, tmp_path / "f.parquet")
    again = ("--features", tmp_path / "f.parquet", *SPAN, "--trials", 1)
    assert "is of other rows or settings" in str(error(*words, *again)), "the same times and counts"
    (tmp_path / "s.db").write_text("no database")
    assert "is no study of this command" in str(error(*words, *SPAN, "--trials", 1))


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"params": {"num_leavs": 3}}, "--recipe: lightgbm has no 'num_leavs'; choose from bagging_fraction"),
        ({"params": {"num_leaves": -4}}, "--recipe: lightgbm refuses {'num_leaves': -4}: "),
        ({"params": {"trees": 0}}, "--recipe: lightgbm: trees = 0 must be a whole number from 1"),
        ({"params": [1]}, "recipe: params = [1] must be names and values"),
        ({"candidate": "catboost", "params": {"depht": 4}}, "--recipe: catboost has no 'depht'"),
        ({"candidate": "catboost", "params": {"depth": 400}}, "--recipe: catboost refuses {'depth': 400}: "),
        ({"candidate": "xgboost", "params": {"max_depth": -3}}, "--recipe: xgboost refuses"),
        ({"candidate": "forest", "params": {"max_depth": "deep"}}, "--recipe: forest refuses"),
        ({"candidate": "logistic"}, "--recipe: logistic has no trees: it is there to compare with"),
        ({"candidate": "neural"}, "--recipe: 'neural' is unknown; choose from lightgbm"),
    ],
)
def test_a_recipe_of_which_nothing_can_come_is_refused_before_anything_is_read(
    tmp_path: Path, member: dict[str, object], expected: str
) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"recipe": {"members": [member]}}))
    none = ("--features", tmp_path / "none", "--reports", tmp_path / "none")
    told = error("train", "pix-fraud", *none, *SPAN, "--out", tmp_path / "m", "--recipe", tmp_path / "r.json")
    assert isinstance(told, BadInput)
    assert expected in str(told)


def test_compare_names_a_champion_within_the_budget(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = Recipe((Member("lightgbm", {"trees": 20, "num_threads": 1}),))
    both = {"lightgbm": light, "logistic": Recipe((Member("logistic"),))}
    monkeypatch.setattr(comparison, "contenders", lambda *_: both)
    words = ("compare", "pix-fraud", *inputs(files), *SPAN)
    recipe = tmp_path / "recipe.json"
    found = answer(*words, "--latency-ms", 1000, "--recipe-out", recipe)
    assert (found["champion"], found["recipe_out"]) == ("lightgbm", str(recipe))
    answer("train", "pix-fraud", *inputs(files), *SPAN, "--out", tmp_path / "m", "--recipe", recipe)
    assert Scorer.load(tmp_path / "m").manifest.params["members"][0]["params"]["trees"] == 20
    assert [one["name"] for one in found["contenders"]][-1] == "stack"  # type: ignore[index, union-attr, attr-defined]
    none = answer(*words, "--latency-ms", 0.01, "--recipe-out", tmp_path / "none.json")
    assert none["champion"] is None
    assert not (tmp_path / "none.json").exists()
    told = run(*words, "--latency-ms", 1000).stderr
    assert "champion: lightgbm" in told
    assert "--recipe FILE (--recipe-out FILE writes it)" in told


def test_evaluate_measures_later_days(files: Path, trained: Path) -> None:
    plain = answer("evaluate", trained, *inputs(files), *TEST, "--against-simple")
    assert plain["n"] == 3 * A_DAY
    assert plain["average_precision"] > plain["average_precision_simple"] > 0  # type: ignore[operator]
    less = answer("evaluate", trained, *inputs(files), *TEST, "--exclude-known")
    assert less["n"] + less["excluded_known"] == plain["n"]  # type: ignore[operator]
    assert less["excluded_known"] > 0  # type: ignore[operator]


def test_evaluate_compares_with_a_champion_on_the_same_rows(
    files: Path, trained: Path, tmp_path: Path
) -> None:
    days = ("--train-from", "2026-03-01", "--train-to", "2026-03-03")
    champion = answer("train", "pix-fraud", *inputs(files), *days, "--out", tmp_path / "c")["model"]
    given = (*inputs(files), *TEST, "--replicates", "60", "--fold-days", "1")
    found = answer("evaluate", trained, *given, "--against", tmp_path / "c")
    back = answer("evaluate", tmp_path / "c", *given, "--against", trained)
    alone = answer("evaluate", tmp_path / "c", *given)
    assert found["champion"] == champion
    gap = found["against_champion"]["average_precision"]  # type: ignore[index]
    assert gap["low"] <= gap["difference"] <= gap["high"]
    assert gap["difference"] == found["average_precision"] - alone["average_precision"]  # type: ignore[operator]
    assert back["against_champion"]["average_precision"]["difference"] == -gap["difference"]  # type: ignore[index]
    assert [fold["from"] for fold in found["folds"]] == ["2026-03-06", "2026-03-07", "2026-03-08"]  # type: ignore[attr-defined]
    assert all("champion_recall" in group for group in found["groups"])  # type: ignore[attr-defined]
    assert "against_champion" not in alone
    apart = [x["roc_auc"] - y["roc_auc"] for x, y in zip(found["folds"], alone["folds"], strict=True)]  # type: ignore[call-overload]
    assert np.isclose(found["spread_against_champion"]["roc_auc"]["mean"], np.mean(apart))  # type: ignore[index]
    assert found["intervals"]["roc_auc"]["low"] < found["roc_auc"]  # type: ignore[index,operator]


def test_evaluate_leaves_out_what_is_not_mature(files: Path, trained: Path) -> None:
    whole = answer("evaluate", trained, *inputs(files), *TEST, "--replicates", "0")
    early = answer("evaluate", trained, *inputs(files), *TEST, "--replicates", "0", "--as-of", "2026-03-15")
    assert (early["n"], early["excluded_immature"]) == (2 * A_DAY, A_DAY)
    assert whole["excluded_immature"] == 0
    assert "intervals" not in whole
    never = error("evaluate", trained, *inputs(files), *TEST, "--as-of", "2026-03-10")
    assert "no label from 2026-03-06 to 2026-03-08 has had 8 days" in str(never)


def test_evaluate_warns_of_days_that_were_trained_on(files: Path, trained: Path) -> None:
    inside = ("--from", "2026-03-05", "--to", "2026-03-08")
    told = [
        answer("evaluate", trained, *inputs(files), *span, "--replicates", "0") for span in (inside, TEST)
    ]
    flattered = [any("trained on" in text for text in found["warnings"]) for found in told]  # type: ignore[attr-defined]
    assert flattered == [True, False]
    young = [any("may still be missing" in text for text in found["warnings"]) for found in told]  # type: ignore[attr-defined]
    assert young == [False, False]  # the newest report is of the last day + 6


class Page(HTMLParser):
    """What a browser would load, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        wants = [given.get(name) for name in ("src", "href", "xlink:href", "data")]
        self.loads += [place for place in wants if place and not place.startswith("#")]
        self.ids += [name] if (name := given.get("id")) else []
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_is_one_whole_page_and_its_json(files: Path, trained: Path, tmp_path: Path) -> None:
    days = ("--train-from", "2026-03-01", "--train-to", "2026-03-03")
    answer("train", "pix-fraud", *inputs(files), *days, "--out", tmp_path / "c")
    given = (*inputs(files), *TEST, "--replicates", "40", "--out", tmp_path / "r.html")
    done = answer("report", trained, *given, "--against", tmp_path / "c")
    html = (tmp_path / "r.html").read_text()
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.loads == []  # nothing from elsewhere
    assert "url(http" not in html
    assert "@import" not in html
    assert len(page.ids) == len(set(page.ids))
    assert html.count("<svg") == 10
    assert len(html.encode()) == done["html_bytes"] < 3_000_000  # type: ignore[operator]
    found = json.loads((tmp_path / "r.json").read_text())
    same = answer(
        "evaluate", trained, *inputs(files), *TEST, "--replicates", "40", "--against", tmp_path / "c"
    )
    assert {name: found[name] for name in same} == same
    assert found["verdict"] == done["verdict"]
    assert {"roc", "confusion", "importance", "stability", "distributions", "agreement"} <= set(found)
    assert [part["from"] for part in found["stability"]["parts"]] == [
        "2026-03-06",
        "2026-03-07",
        "2026-03-08",
    ]
    assert "(training)" in found["stability"]["reference"]
    again = answer("report", trained, *given, "--against", tmp_path / "c")
    assert again == done
    assert (tmp_path / "r.html").read_text() == html  # the same bytes


def test_a_report_without_champion_and_without_frauds(files: Path, trained: Path, tmp_path: Path) -> None:
    reports = tmp_path / "none.parquet"
    pq.write_table(pq.read_table(files / "reports.parquet").slice(0, 0), reports)
    given = ("--features", files / "features.parquet", "--reports", reports, *TEST, "--replicates", "20")
    done = answer("report", trained, *given, "--out", tmp_path / "r.html")
    assert done["verdict"]["kind"] == "alone"  # type: ignore[index]
    assert "No payment of these days is known as a fraud" in (tmp_path / "r.html").read_text()


def test_a_report_needs_a_name_of_its_own(files: Path, trained: Path, tmp_path: Path) -> None:
    for out, words in (
        (tmp_path / "r.json", "must end in .html"),
        (tmp_path / "no" / "r.html", "a folder that"),
    ):
        assert words in str(error("report", trained, *inputs(files), *TEST, "--out", out))


def test_an_alert_rate_is_a_share(files: Path, trained: Path) -> None:
    assert "--alert-rate: 1.5" in str(
        error("evaluate", trained, *inputs(files), *TEST, "--alert-rate", "1.5")
    )


def test_score_writes_the_scores_of_the_served_model(files: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    answer("score", trained, *inputs(files)[:2], *TEST, "--out", out)
    scores = pq.read_table(out)
    assert scores.column_names == ["event_id", "score"]
    table = pq.read_table(files / "features.parquet").slice(5 * A_DAY)
    vectors = np.column_stack([table.column(name).to_numpy() for name in catalog.NAMES])
    assert scores.column("event_id").to_pylist() == table.column("event_id").to_pylist()
    assert np.array_equal(scores.column("score").to_numpy(), Scorer.load(trained).score(vectors))


def test_people_get_a_table_on_standard_error(files: Path, trained: Path) -> None:
    result = run("evaluate", trained, *inputs(files), *TEST)
    assert result.stdout == ""
    assert "average_precision" in result.stderr


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--train-from": "2026-02-30"}, "--train-from: '2026-02-30' is not a day"),
        ({"--train-to": "9999-12-31"}, "--train-to: 9999-12-31 must lie between 2000-01-01 and 2099-12-31"),
        ({"--as-of": "0001-01-03"}, "--as-of: 0001-01-03 must lie between"),
        ({"--train-to": "2026-02-01"}, "--train-to: 2026-02-01 is before --train-from"),
        ({"--as-of": "2026-03-05"}, "--as-of: 2026-03-05 is not after --train-to"),
        ({"--as-of": "2026-03-06"}, "no confirmed fraud"),
        ({"--train-from": "2025-01-01", "--train-to": "2025-01-31"}, "no transactions from 2025-01-01"),
        ({"--train-to": "2026-03-01"}, "need 2 days or more"),
        ({"--costs": "nowhere"}, "--costs: nowhere cannot be read as TOML"),
        ({"--recipe": "nowhere"}, "--recipe: nowhere is no file of `vigia models search`"),
        ({"--features": "nowhere"}, "--features: nowhere does not exist"),
        ({"--reports": "nowhere"}, "--reports: nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(
    files: Path, tmp_path: Path, change: dict[str, str], expected: str
) -> None:
    given = dict(zip(inputs(files)[::2], inputs(files)[1::2], strict=True))
    given |= dict(zip(SPAN[::2], SPAN[1::2], strict=True)) | {"--out": tmp_path / "m"} | change
    raised = error("train", "pix-fraud", *(word for pair in given.items() for word in pair))
    assert isinstance(raised, BadInput)
    assert expected in str(raised)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_feature_column_is_named(files: Path, tmp_path: Path) -> None:
    whole = pq.read_table(files / "features.parquet")
    pq.write_table(whole.drop_columns([catalog.NAMES[7]]), tmp_path / "f.parquet")
    given = ("--features", tmp_path / "f.parquet", "--reports", files / "reports.parquet")
    assert catalog.NAMES[7] in str(error("train", "pix-fraud", *given, *SPAN, "--out", tmp_path / "m"))


def test_amounts_that_no_payment_has_are_counted(files: Path, tmp_path: Path, trained: Path) -> None:
    whole = pq.read_table(files / "features.parquet")
    amounts: list[float | None] = whole["amount"].cast("double").to_pylist()
    amounts[:4] = amounts[-4:] = [None, float("nan"), 0.0, -5.0]
    at = whole.schema.get_field_index("amount")
    pq.write_table(whole.set_column(at, "amount", pa.array(amounts)), tmp_path / "f.parquet")
    given = ("--features", tmp_path / "f.parquet", "--reports", files / "reports.parquet")
    for words in (("train", "pix-fraud", *SPAN, "--out", tmp_path / "m"), ("evaluate", trained, *TEST)):
        raised = error(*words, *given)
        assert isinstance(raised, BadInput)
        assert "4 of " in str(raised)
        assert "are unknown or not above 0" in str(raised)


def test_features_of_another_version_are_refused(files: Path, tmp_path: Path) -> None:
    whole = pq.read_table(files / "features.parquet")
    pq.write_table(whole.replace_schema_metadata({"features_version": "0ld"}), tmp_path / "f.parquet")
    given = ("--features", tmp_path / "f.parquet", "--reports", files / "reports.parquet")
    message = str(error("train", "pix-fraud", *given, *SPAN, "--out", tmp_path / "m"))
    assert "0ld" in message
    assert catalog.FEATURES_VERSION in message


def test_another_product_and_a_foreign_folder_are_refused(files: Path, tmp_path: Path) -> None:
    assert "pix-fraud" in str(error("train", "credit", *inputs(files), *SPAN, "--out", tmp_path / "m"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    out = tmp_path / "mine"
    assert "not a model folder" in str(error("train", "pix-fraud", *inputs(files), *SPAN, "--out", out))
    assert isinstance(error("evaluate", tmp_path / "none", *inputs(files), *TEST), ModelRefused)


def test_a_file_that_is_no_parquet_is_named(files: Path, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_text("event_id,amount")
    given = ("--features", tmp_path / "f.parquet", "--reports", files / "reports.parquet")
    message = str(error("train", "pix-fraud", *given, *SPAN, "--out", tmp_path / "m"))
    assert "is not a Parquet file" in message
