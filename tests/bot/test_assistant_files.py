"""Loading an assistant: what is supported loads, anything else is refused with file and line."""

from pathlib import Path

import pytest

from bot.assistant_files import Assistant
from bot.located import AssistantError

DOMAIN = """\
version: "3.1"
intents: [greet, bye]
entities: [city]
slots:
  city:
    type: text
    mappings:
    - type: from_entity
      entity: city
forms:
  trip:
    required_slots: [city]
responses:
  utter_greet:
  - text: Hello
actions: [action_pack]
"""
RULES = """\
version: "3.1"
rules:
- rule: greet
  steps:
  - intent: greet
  - action: utter_greet
"""
NLU = """\
version: "3.1"
nlu:
- intent: greet
  examples: |
    - hi
    - hello there
- intent: bye
  examples: |
    - bye
    - see you in [Rome](city)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "domain.yml").write_text(DOMAIN)
    (tmp_path / "data" / "rules.yml").write_text(RULES)
    (tmp_path / "data" / "nlu.yml").write_text(NLU)
    return tmp_path


def refused(folder: Path) -> AssistantError:
    with pytest.raises(AssistantError) as caught:
        Assistant.load(folder)
    return caught.value


def test_a_small_assistant_loads(folder: Path) -> None:
    """Domain, rules and training data are enough; config.yml may be missing."""
    assistant = Assistant.load(folder)
    assert set(assistant.domain.intents) == {"greet", "bye"}
    assert assistant.rules.names == ("greet",)
    assert assistant.understanding.parse("hello").intent == "greet"


def test_the_version_follows_the_files(folder: Path) -> None:
    """The record of a turn tells which files answered it."""
    before = Assistant.load(folder).version
    assert Assistant.load(folder).version == before
    (folder / "domain.yml").write_text(DOMAIN.replace("Hello", "Hi"))
    assert Assistant.load(folder).version != before


def test_stories_are_refused(folder: Path) -> None:
    """Stories need a learned policy."""
    (folder / "data" / "stories.yml").write_text('version: "3.1"\n\nstories:\n- story: x\n  steps: []\n')
    problem = refused(folder)
    assert (Path(problem.file).name, problem.line) == ("stories.yml", 3)
    assert "stories" in problem.what


def test_the_published_formbot_stories_are_refused(folder: Path) -> None:
    """The example that leaves its form through stories says so, with file and line."""
    stories = Path(__file__).parent / "rasa_examples" / "formbot" / "stories" / "stories.yml"
    with pytest.raises(AssistantError, match=r"stories\.yml:2: .*stories"):
        Assistant.from_files([folder / "domain.yml", stories])


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("- type: from_entity", "- type: from_trigger_intent", 8, "from_trigger_intent"),
        ("type: text", "type: bot.slots.Special", 6, "slot type"),
        ("    required_slots: [city]", "    required_slots: [town]", 11, "unknown slot 'town'"),
        ("    required_slots: [city]", "    required_slots: {city: []}", 12, "required_slots"),
        ("    required_slots: [city]", "    slots: [city]", 12, "'slots' in form 'trip'"),
        ("  - text: Hello", "  - text: Hello\n    image: x.png", 16, "'image' in response"),
        ("  - text: Hello", "  - custom: {}", 15, "needs a text"),
        ("  utter_greet:", "  utter_faq/greet:", 14, "retrieval"),
        ("actions: [action_pack]", "e2e_actions: [hello]", 16, "e2e_actions"),
        ("      entity: city", "      role: x", 8, "needs 'entity'"),
    ],
)
def test_a_domain_outside_the_subset_is_refused(folder: Path, old: str, new: str, line: int, what: str) -> None:
    """The refusal names the file, the line and the thing."""
    (folder / "domain.yml").write_text(DOMAIN.replace(old, new))
    problem = refused(folder)
    assert (Path(problem.file).name, problem.line) == ("domain.yml", line)
    assert what in problem.what


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("  - intent: greet", "  - intent: hola", 5, "unknown intent 'hola'"),
        ("  - action: utter_greet", "  - action: action_fly", 6, "unknown action 'action_fly'"),
        ("  - action: utter_greet", "  - checkpoint: later", 6, "'checkpoint'"),
        ("  - intent: greet", "  - or:\n    - intent: greet\n    - intent: bye", 5, "'or'"),
        ("  - intent: greet", "  - user: hello", 5, "'user'"),
        ("  - action: utter_greet", "  - action: utter_greet\n  - active_loop: nap", 7, "unknown form 'nap'"),
        ("  - action: utter_greet", "  - action: utter_greet\n  - slot_was_set: [{age: 3}]", 7, "unknown slot 'age'"),
        ("- rule: greet", "- rule: yes", 3, "needs a name"),
        ("rules:", "responses: {}\nrules:", 2, "'responses' in a data file"),
    ],
)
def test_rules_outside_the_subset_are_refused(folder: Path, old: str, new: str, line: int, what: str) -> None:
    """So are rules that name what does not exist."""
    (folder / "data" / "rules.yml").write_text(RULES.replace(old, new))
    problem = refused(folder)
    assert (Path(problem.file).name, problem.line) == ("rules.yml", line)
    assert what in problem.what


def test_rules_that_contradict_are_refused(folder: Path) -> None:
    """The same moment cannot have two next actions."""
    (folder / "data" / "rules.yml").write_text(
        RULES + "- rule: pack\n  steps:\n  - intent: greet\n  - action: action_pack\n"
    )
    problem = refused(folder)
    assert problem.line == 7
    assert "says action_pack" in problem.what


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("- intent: greet", "- intent: faq/greet", 3, "retrieval intent"),
        ("    - hello there", "    * hello there", 6, "begins with '- '"),
        ("[Rome](city)", '[Rome]{"entity": "city", "extractor": "x"}', 10, "unsupported annotation"),
        ("- intent: greet", "- regex: zip", 5, ""),
        ("- intent: greet", "- story: greet", 3, "'story'"),
    ],
)
def test_training_data_outside_the_subset_is_refused(folder: Path, old: str, new: str, line: int, what: str) -> None:
    """A line of the examples is found too."""
    text = NLU.replace(old, new).replace("- hi\n", "- h(i\n" if "regex" in new else "- hi\n")
    (folder / "data" / "nlu.yml").write_text(text)
    problem = refused(folder)
    assert (Path(problem.file).name, problem.line) == ("nlu.yml", line)
    assert what in problem.what


def test_broken_yaml_says_where(folder: Path) -> None:
    """A slip of the indentation has a line, too, and so has a key that stands twice."""
    (folder / "data" / "rules.yml").write_text(RULES + "  - : [\n")
    assert refused(folder).line >= 7
    (folder / "data" / "rules.yml").write_text(RULES + "rules: []\n")
    assert refused(folder).what == "'rules' stands twice"


def test_config_sets_fallbacks_and_leaves_the_rest_to_rasa(folder: Path) -> None:
    """Thresholds and the fallback action are read; a pipeline of other parts does not stop the load."""
    (folder / "config.yml").write_text(
        "language: en\npipeline:\n- name: DIETClassifier\n- name: FallbackClassifier\n  threshold: 0.6\n"
        "policies:\n- name: RulePolicy\n  core_fallback_action_name: utter_greet\n- name: TEDPolicy\n"
    )
    assistant = Assistant.load(folder)
    assert assistant.understanding.threshold == 0.6
    assert assistant.fallback_action == "utter_greet"


def test_what_has_no_effect_is_noted(folder: Path) -> None:
    """An intent with examples that the domain does not know is worth a note, not a refusal."""
    (folder / "data" / "nlu.yml").write_text(NLU + "- intent: order\n  examples: |\n    - pizza\n")
    assert any("'order'" in note for note in Assistant.load(folder).notes)


def test_synonyms_regexes_and_lookups_are_read(folder: Path) -> None:
    """Words stand for their value, wherever they are found."""
    (folder / "data" / "nlu.yml").write_text(
        NLU.replace("[Rome](city)", "[the eternal city](city:Rome)")
        + "- synonym: Rome\n  examples: |\n    - Roma\n- regex: zip\n  examples: |\n    - \\d{5}\n"
        + "- lookup: city\n  examples: |\n    - Paris\n"
    )
    understanding = Assistant.load(folder).understanding
    assert understanding.synonyms == {"the eternal city": "Rome", "roma": "Rome"}
    assert understanding.phrases.lists["paris"] == ("city",)
