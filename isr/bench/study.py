"""The study file of ``isr bench``: everything that decides what is computed, checked before anything is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import gcd
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from isr.bench.material.source import DatasetPart
from isr.bench.material.unseen import UnseenPart
from isr.bench.radius import Radius
from isr.bench.study_columns import column_problems
from isr.bench.study_labels import StudyLabels, label_problems
from isr.bench.study_metrics import FIELDS, metric_problems
from isr.canonical import sha256_json
from isr.errors import InputError, IsrError, MissingExtraError, Problem, UsageError
from isr.judging.card_secrets import shown
from isr.judging.cards import load_panel
from isr.judging.field_errors import field_errors
from isr.judging.rubrics import load_pair
from isr.reading import Unreadable, read_toml
from isr.redaction import SECRET_FROM
from isr.stats.rows import Prompts
from sifm_ref import own_editor, registry
from sifm_ref.budget import Budget
from sifm_ref.editor import WhiteBox
from sifm_ref.loading import adapter, check_class, parse
from sifm_ref.units import SEEDS

Value = bool | int | float | str | tuple[bool | int | float | str, ...]


Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Role = Literal["ours", "baseline", "ablation"]
NONE = "none"  # the control edits' name beside methods
TABLES = ("II", "VI", "VII")
UNIT_MULTIPLE = 64  # pixels: sides that every editor here takes


class Part(BaseModel):
    """A table of a study file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ImagesPart(Part):
    """Where images and prompts come from, and the size at which everything is done."""

    folder: str = ""
    prompts: str = ""
    resolution: int = Field(default=512, ge=8, le=8192)
    resize: Literal["fit", "crop", "keep"] = "fit"
    multiple: int = Field(default=0, ge=0, le=1024)
    dataset: DatasetPart | None = None
    unseen: UnseenPart | None = None

    @property
    def sides(self) -> int:
        """What both sides of every image are multiples of: 64 pixels, or what the resolution shares with them."""
        return self.multiple or gcd(UNIT_MULTIPLE, self.resolution)


class EditorPart(Part):
    """An editor. ``surrogate``: methods are optimised on it; ``edits``: edits are made with it; ``prompt``: what it reads."""

    name: Name
    editor: str = Field(min_length=1)
    set: dict[str, Value] = {}
    surrogate: bool = True
    edits: bool = True
    dtype: Literal["fp32", "fp16", "bf16", "fp64"] = "fp32"
    device: str = "auto"
    revision: str = ""
    purifiers: tuple[str, ...] | None = Field(default=None, min_length=1)
    prompt: str = ""  # a column of the prompts that it is given in place of prompt, which is judged
    batch: int = Field(default=1, ge=1)
    timestep_batch: int = Field(default=0, ge=0)
    checkpoint_activations: bool = False

    @property
    def is_code(self) -> bool:
        """Whether it names a file's class or function, which is code to be run."""
        return own_editor.is_code(self.editor.partition("=")[0])


class MethodPart(Part):
    """A method at one budget or several: each is a treatment for each surrogate."""

    name: Name
    method: str = Field(min_length=1)
    preset: str = ""
    set: dict[str, Value] = {}
    eps: tuple[Radius, ...] = Field(default=(0.03,), min_length=1)
    norm: Literal["linf", "l2"] = "linf"
    seed: int = Field(default=0, ge=0)
    text: str = ""  # a column of the prompts; else what its surrogate is given of the seen one
    surrogates: tuple[str, ...] | None = None
    editors: tuple[str, ...] | None = None
    transfer: bool = True
    role: Role = "baseline"
    ablation: str = ""
    lam: float | None = Field(default=None, alias="lambda", ge=0)

    @property
    def is_code(self) -> bool:
        """Whether it names a file's function, which is code to be run."""
        return ":" in self.method


class JudgePart(Part):
    """A judge card, by name or by a path from the study file; in short just the card's text."""

    card: str = Field(min_length=1)
    set: dict[str, Value] = {}
    rubrics: tuple[str, ...] = ()


class Study(Part):
    """The content of a study file."""

    name: Name
    seeds: tuple[Annotated[int, Field(ge=0, lt=SEEDS.stop)], ...] = Field(default=(0,), min_length=1)
    purifiers: tuple[str, ...] = Field(default=(NONE,), min_length=1)
    judges: tuple[JudgePart, ...] = Field(min_length=1)
    metrics: bool = False
    lpips_weights: tuple[str, ...] = ()  # these five: as isr score takes them
    dists_weights: str = ""
    metric_models: tuple[str, ...] = ()
    caption: str = ""
    source_caption: str = ""
    accept: tuple[str, ...] = ()  # findings about the pictures that are meant: isr score --accept
    by: tuple[str, ...] = ("split",)
    published: str = ""
    tables: tuple[str, ...] = ()
    level: float = Field(default=0.95, ge=0.5, lt=1)
    images: ImagesPart
    editors: tuple[EditorPart, ...] = Field(min_length=1)
    methods: tuple[MethodPart, ...] = Field(min_length=1)
    labels: StudyLabels | None = None
    prompts: Prompts = "fixed"  # random: rates and differences are about prompts like these
    cluster: str = ""  # a column that groups images, of one person or one scene, where methods are compared
    margin: float | None = Field(default=None, gt=0, lt=1)

    @field_validator("judges", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return _judges(value)

    @property
    def digest(self) -> str:
        """Digest of the choices; comments and layout have no part in it."""
        return sha256_json(self.choices())

    def choices(self) -> dict[str, Any]:
        """The content as plain values; what later versions brought is there only where a study says it."""
        made = self.model_dump(mode="json", by_alias=True)
        names = ("labels", "prompts", "cluster", "margin", *FIELDS)
        later = {n: type(self).model_fields[n].default for n in names}
        for part, key in (*((e, "prompt") for e in made["editors"]), *((m, "text") for m in made["methods"])):
            if not part[key]:
                del part[key]
        if made["images"].get("dataset") and not made["images"]["dataset"]["texts"]:
            del made["images"]["dataset"]["texts"]
        return {k: v for k, v in made.items() if k not in later or v not in (later[k], [])}

    def editor(self, name: str) -> EditorPart:
        return next(e for e in self.editors if e.name == name)

    def purifiers_of(self, editor: EditorPart) -> tuple[str, ...]:
        return self.purifiers if editor.purifiers is None else editor.purifiers


def text_of(value: Value) -> str:
    """A setting as it is typed on a command line: ``true``, ``0.1``, ``mid_block,up_blocks.1``."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(text_of, value)) if isinstance(value, tuple) else str(value)


def texts(values: Mapping[str, Value]) -> dict[str, str]:
    return {k: text_of(v) for k, v in values.items()}


def read_study(path: Path, *, allow_code: bool = False) -> Study:
    """The study in a file. Raises ``InputError`` with all problems at once, then ``MissingExtraError`` for what this machine lacks."""
    try:
        raw = read_toml(path)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected a study file in TOML; found {error.found}; correct the file"
        ) from error
    study, problems = _validated(raw, path.name)
    problems += [Problem(path.name, *said) for said in _crossed(raw, path.parent)]
    problems += [Problem(path.name, *said) for said in label_problems(raw.get("labels"), path.parent)]
    told = list(_methods(raw, path.parent, allow_code))
    problems += [Problem(path.name, *said) for said in told if not isinstance(said, MissingExtraError)]
    if problems or study is None:
        raise InputError(f"{path}: {len(problems)} problem(s); nothing was done", problems)
    if lacking := [said for said in told if isinstance(said, MissingExtraError)]:
        raise lacking[0]  # no fault of the study
    return study


def _validated(raw: Mapping[str, Any], where: str) -> tuple[Study | None, list[Problem]]:
    try:
        return Study.model_validate(raw), []
    except ValidationError as error:
        judged = {**raw, "judges": _judges(raw["judges"])} if "judges" in raw else raw
        return None, field_errors(error, judged, Study, where)


Said = tuple[str, str, str, str]  # field, expected, found, what to do
P = TypeVar("P", bound=Part)


def _judges(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return [{"card": v} if isinstance(v, str) else v for v in value]


def _sound(raw: Any, part: type[P]) -> list[tuple[int, P]]:
    """The entries of a list that are sound in themselves, with their places."""
    found = []
    for place, entry in enumerate(raw if isinstance(raw, list) else []):
        try:
            found.append((place, part.model_validate(entry)))
        except ValidationError:
            continue
    return found


def _names(raw: Any) -> list[str]:
    return [str(e.get("name", "")) for e in raw if isinstance(e, dict)] if isinstance(raw, list) else []


def _crossed(raw: Mapping[str, Any], root: Path) -> Iterator[Said]:
    """Problems between parts, found among those parts that are sound."""
    editors, methods = _sound(raw.get("editors"), EditorPart), _sound(raw.get("methods"), MethodPart)
    yield from _image_problems(raw.get("images"), root)
    yield from _twice("editors", "name", _names(raw.get("editors")))
    yield from _twice("judges", "card", [j.card for _, j in _sound(_judges(raw.get("judges")), JudgePart)])
    yield from _twice("seeds", "", raw.get("seeds"))
    names = _names(raw.get("editors"))
    seen: dict[tuple[str, float], int] = {}
    for place, method in methods:
        if method.name == NONE:
            yield f"methods.{place}.name", "another name", repr(NONE), "it means the control edits"
        for kind in ("surrogates", "editors"):
            for name in getattr(method, kind) or ():
                if name not in names:
                    yield f"methods.{place}.{kind}", f"one of {', '.join(names)}", shown(name), "correct it"
        for eps in method.eps:
            first = seen.setdefault((method.name, eps), place)
            if first != place or method.eps.count(eps) > 1:
                found = f"{method.name!r} at {eps} in methods.{first} too"
                yield f"methods.{place}", "one method of a name and eps", found, "rename one"
    if editors and len(editors) == len(names):
        yield from _unused([e for _, e in editors], methods)
    for table in raw.get("tables", ()) if isinstance(raw.get("tables", ()), list) else ():
        if table not in TABLES:
            yield "tables", f"out of {', '.join(TABLES)}", shown(table), "correct it"
    yield from column_problems(raw, root)
    yield from metric_problems(raw, root)
    published = raw.get("published")
    if isinstance(published, str) and published and not (root / published).is_file():
        yield "published", "a file beside the study", shown(published), "correct the path"


def _unused(editors: Sequence[EditorPart], methods: Sequence[tuple[int, MethodPart]]) -> Iterator[Said]:
    if not any(e.edits for e in editors):
        yield "editors", "one with edits = true", "none", "let one make edits"
    for place, method in methods:
        if not pairs_of(method, editors):
            yield (
                f"methods.{place}",
                "an editor to optimise on and one to edit with",
                "none that surrogates, editors and transfer allow",
                "correct them, or surrogate = true in an editor",
            )


def pairs_of(method: MethodPart, editors: Sequence[EditorPart]) -> list[tuple[str, str]]:
    """(surrogate, editor) of every cell of a method."""
    return [
        (s.name, e.name)
        for s in editors
        for e in editors
        if (s.name in method.surrogates if method.surrogates is not None else s.surrogate)
        and e.edits
        and (method.editors is None or e.name in method.editors)
        and (method.transfer or s.name == e.name)
    ]


def _twice(where: str, key: str, values: Any) -> Iterator[Said]:
    some = [shown(v) for v in values] if isinstance(values, list) else []
    for value in dict.fromkeys(v for v in some if some.count(v) > 1):
        yield f"{where}.{key}" if key else where, "each once", f"{value} twice", "rename or drop one"


def _image_problems(raw: Any, root: Path) -> Iterator[Said]:
    if not isinstance(raw, dict):
        return
    if bool(raw.get("folder")) == bool(raw.get("dataset")):
        found = "both" if raw.get("folder") else "neither"
        yield "images", "either folder (with prompts) or dataset", found, "keep one of them"
    folder, prompts = raw.get("folder"), raw.get("prompts")
    if isinstance(folder, str) and folder:
        if not (root / folder).is_dir():
            yield "images.folder", "a folder", shown(folder), "correct the path (from the study file)"
        if not prompts:
            yield "images.prompts", "a CSV with name, prompt, prompt_id, split", "none", "add it"
    unseen = raw.get("unseen")
    file = unseen.get("file") if isinstance(unseen, dict) else ""
    if isinstance(file, str) and file and not (root / file).is_file():
        yield "images.unseen.file", "a file", shown(file), "correct the path (from the study file)"
    if isinstance(prompts, str) and prompts and not (root / prompts).is_file():
        yield "images.prompts", "a file", shown(prompts), "correct the path (from the study file)"


def _methods(raw: Mapping[str, Any], root: Path, allow_code: bool) -> Iterator[Said | MissingExtraError]:
    """What ``sifm_ref`` and the judges say to names and settings; nothing is loaded but their modules."""
    treatments: dict[tuple[str, ...], str] = {}
    editors = [e for _, e in _sound(raw.get("editors"), EditorPart)]
    for place, method in _sound(raw.get("methods"), MethodPart):
        if method.is_code and not allow_code:
            found = f"{method.method!r}, which is code to be run"
            yield f"methods.{place}.method", "a method's name", found, "read it, then give --allow-code"
            continue
        yield from _tried(
            f"methods.{place}", partial(_try_method, method, editors, root, treatments), method.set
        )
    for place, editor in _sound(raw.get("editors"), EditorPart):
        if editor.is_code and not allow_code:
            found = f"{editor.editor!r}, which is code to be run"
            yield f"editors.{place}.editor", "an editor's name", found, "read it, then give --allow-code"
        else:
            yield from _tried(f"editors.{place}", partial(_try_editor, editor, root), editor.set)
        yield from _purifier_problems(f"editors.{place}.purifiers", editor.purifiers or ())
    yield from _purifier_problems("purifiers", raw.get("purifiers"))
    for place, judge in _sound(_judges(raw.get("judges")), JudgePart):
        yield from _tried(f"judges.{place}", partial(_try_judge, judge, root), judge.set)


def _tried(
    field: str, attempt: Callable[[], None], settings: Mapping[str, Value] = {}
) -> Iterator[Said | MissingExtraError]:
    """``settings``: whose values, which may be keys, are not repeated."""
    try:
        attempt()
    except MissingExtraError as error:
        yield error
    except IsrError as error:
        said = " ".join(str(error).split())
        for value in sorted(texts(settings).values(), key=len, reverse=True):
            said = said.replace(value, "...") if len(value) >= SECRET_FROM else said
        yield field, "what can be carried out", said, "correct it"


def _try_method(
    method: MethodPart, editors: Sequence[EditorPart], root: Path, treatments: dict[tuple[str, ...], str]
) -> None:
    """``treatments``: what each treatment is called; two names of one could not be told apart in a table."""
    for eps in method.eps:
        Budget(eps, method.norm)
    found = registry.method(method_spec(method, root), method.preset, texts(method.set))
    for eps in method.eps:
        for surrogate in dict.fromkeys(s for s, _ in pairs_of(method, editors)):
            key = (found.name, found.digest(method.norm), repr(eps), surrogate)
            name = treatments.setdefault(key, method.name)
            if name != method.name:
                raise UsageError(f"another treatment than {name!r}, which is the same at eps {eps:g}")


def method_spec(method: MethodPart, root: Path) -> str:
    """The method as ``isr immunize --method`` takes it; a file is looked for beside the study file."""
    if not method.is_code:
        return method.method
    path, _, function = method.method.rpartition(":")
    return f"{root / path}:{function}"


def editor_spec(editor: EditorPart, root: Path) -> str:
    """The editor as ``isr edit --editor`` takes it; a folder is looked for beside the study file."""
    if editor.editor in registry.names("editors"):
        return editor.editor
    if editor.is_code:
        name, sign, place = editor.editor.partition("=")
        return f"{root / name}{sign}{root / place if sign and (root / place).is_dir() else place}"
    name, sign, place = editor.editor.rpartition("=")
    folder = root / place
    return f"{name}{sign}{folder}" if folder.is_dir() else editor.editor


def _try_editor(editor: EditorPart, root: Path) -> None:
    spec = editor_spec(editor, root)
    name, _, place = spec.rpartition("=")
    known = registry.names("editors")
    if not editor.is_code and not (spec in known or name in known or Path(place).is_dir()):
        if spec.startswith((".", "/")) or "/" not in spec:
            raise UsageError(f"an editor's name, a folder or a hub id; there is no {editor.editor!r}")
        return  # a hub id: the hub knows
    found, _ = parse(spec, code=True)
    cls = adapter(found)
    if Path(place).is_dir():
        check_class(cls, found, place)
    chosen = registry.typed(texts(editor.set), cls.defaults, f"editor {found}", "setting")
    cls.check_settings({**cls.defaults, **chosen}, f"editor {found}")
    if editor.surrogate and not issubclass(cls, WhiteBox):
        raise UsageError(f"{found} only edits: its steps cannot be differentiated; give surrogate = false")


def _purifier_problems(where: str, specs: Any) -> Iterator[Said | MissingExtraError]:
    """What cannot be carried out, and what is the same purifier in two spellings: its edits would be one file."""
    seen: dict[str, str] = {}
    for spec in specs if isinstance(specs, list | tuple) else ():
        if isinstance(spec, str):
            yield from _tried(where, partial(_try_purifier, spec, seen))


def _try_purifier(spec: str, seen: dict[str, str]) -> None:
    found = registry.purifier(spec)
    text = found.text if found else NONE
    if text in seen:
        raise UsageError(f"each purifier once; {spec!r} is the same as {seen[text]!r} ({text})")
    seen[text] = spec


def judge_spec(judge: JudgePart, root: Path) -> str:
    """The card as ``isr score --judge`` takes it; a path is looked for beside the study file."""
    return str(root / judge.card) if judge.card.endswith(".toml") else judge.card


def judge_sets(judge: JudgePart) -> tuple[str, ...]:
    return tuple(f"{k}={text_of(v)}" for k, v in judge.set.items())


def _try_judge(judge: JudgePart, root: Path) -> None:
    load_panel(judge_spec(judge, root), judge_sets(judge))
    load_pair(*([judge.rubrics] if judge.rubrics else []))
