from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.config import CommonLabels, TaskSettings
from speech_rnn.data.clips import PARTS, SILENCE, UNKNOWN, Clip, Part
from speech_rnn.data.task import COMMANDS, OTHER_WORDS, Items, Task
from speech_rnn.errors import DataError

OTHERS = ("bed", "bird", "cat")


def clips(words: Iterable[str], n: dict[Part, int] | None = None) -> list[Clip]:
    numbers = n or {"training": 20, "validation": 10, "testing": 5}
    return [
        Clip(f"{word}/{part}{number}.wav", word, f"{part}{number}", part)
        for word in words
        for part, count in numbers.items()
        for number in range(count)
    ]


def words_of(task: Task, items: Items) -> Counter[str]:
    return Counter(task.labels[label] for label in items.label)


def same(one: Items, other: Items) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("clip", "label", "key"))


def test_the_twelve_labels_are_silence_unknown_and_the_commands_in_the_official_order() -> None:
    task = Task.to_learn(TaskSettings(), clips([*COMMANDS, *OTHERS]))

    # input_data.py of TensorFlow's speech_commands: prepare_words_list.
    official = "_silence_ _unknown_ yes no up down left right on off stop go"
    assert " ".join(task.labels) == official


def test_the_thirty_five_labels_are_the_words_of_the_data_set() -> None:
    task = Task.to_learn(TaskSettings(labels="35"), clips([*COMMANDS, *OTHER_WORDS]))

    # Warden 2018, arXiv:1804.03209, table 2.
    published = (
        "backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off "
        "on one right seven sheila six stop three tree two up visual wow yes zero"
    )
    assert " ".join(task.labels) == published
    assert set(words_of(task, task.items("training", 0, 1)).values()) == {20}


def test_all_labels_are_the_folders_in_order() -> None:
    task = Task.to_learn(TaskSettings(labels="all"), clips(["zoom in", "été", "a"]))

    assert task.labels == ("a", "zoom in", "été")
    assert words_of(task, task.items("validation", 0, 1)) == dict.fromkeys(task.labels, 10)


def test_own_labels_keep_their_order_and_the_rest_is_unknown() -> None:
    task = Task.to_learn(TaskSettings(labels=("up", "cat", "go")), clips([*COMMANDS, *OTHERS]))

    assert task.labels == (SILENCE, UNKNOWN, "up", "cat", "go")
    assert words_of(task, task.items("training", 0, 1)) == {SILENCE: 6, UNKNOWN: 18, "up": 20, "cat": 20, "go": 20}
    assert words_of(task, task.items("testing", 0, 1)) == {SILENCE: 2, UNKNOWN: 2, "up": 5, "cat": 5, "go": 5}


@pytest.mark.parametrize("part", PARTS)
def test_silence_and_unknown_are_each_about_a_tenth_of_the_words(part: Part) -> None:
    everything = clips([*COMMANDS, *OTHER_WORDS])
    task = Task.to_learn(TaskSettings(unknown_times=1.0), everything)

    items = task.items(part, 0, 1)

    counts = words_of(task, items)
    wanted = sum(counts[word] for word in COMMANDS)
    assert wanted == sum(clip.part == part and clip.word in COMMANDS for clip in everything)
    assert counts[UNKNOWN] == counts[SILENCE] == wanted / 10
    assert (items.clip == -1).sum() == counts[SILENCE]


@given(
    labels=st.sampled_from(["12", "all", ("yes", "bed"), ("bird",)]),
    unknown=st.sampled_from([None, 0.0, 0.05, 1.0, 7.3]),
    silence=st.sampled_from([None, 0.0, 0.05, 1.0]),
    part=st.sampled_from(PARTS),
    when=st.tuples(st.integers(0, 1_000), st.integers(0, 2**32 - 1)),
)
def test_an_item_has_the_label_of_its_clip_a_clip_of_its_part_and_a_key_of_its_own(
    labels: CommonLabels | tuple[str, ...],
    unknown: float | None,
    silence: float | None,
    part: Part,
    when: tuple[int, int],
) -> None:
    everything = clips([*COMMANDS, *OTHERS])
    if labels == "all" and unknown:
        unknown = None
    task = Task.to_learn(TaskSettings(labels=labels, unknown_share=unknown, silence_share=silence), everything)

    items = task.items(part, *when)

    assert len(set(items.key.tolist())) == len(items)
    for index, label in zip(items.clip.tolist(), items.label.tolist(), strict=True):
        if index < 0:
            assert task.labels[label] == SILENCE
        else:
            assert everything[index].part == part
            assert task.labels[label] in (everything[index].word, UNKNOWN)
            assert (task.labels[label] == UNKNOWN) == (everything[index].word not in task.words)


def test_the_same_seed_and_epoch_give_the_same_items() -> None:
    everything = clips([*COMMANDS, *OTHERS])

    one, other = (Task.to_learn(TaskSettings(), everything).items("training", 3, 7) for _ in range(2))

    assert same(one, other)


def drawn_unknown(task: Task, items: Items) -> set[int]:
    return set(items.clip[items.label == task.labels.index(UNKNOWN)].tolist())


def test_another_epoch_or_seed_hears_other_unknown_words_in_another_order() -> None:
    task = Task.to_learn(TaskSettings(labels=("yes", "no")), clips([*COMMANDS, *OTHERS]))

    first = task.items("training", 0, 1)

    for other in (task.items("training", 1, 1), task.items("training", 0, 2)):
        assert len(other) == len(first)
        assert drawn_unknown(task, other) != drawn_unknown(task, first)
        assert not np.array_equal(other.clip, first.clip)


def label_is_word(task: Task, items: Items) -> NDArray[np.bool_]:
    return np.isin(items.label, [task.labels.index(word) for word in task.words])


def test_every_wanted_clip_is_heard_once_in_every_epoch() -> None:
    everything = clips([*COMMANDS, *OTHERS])
    task = Task.to_learn(TaskSettings(), everything)
    wanted = {i for i, clip in enumerate(everything) if clip.part == "training" and clip.word in COMMANDS}

    for epoch in range(3):
        items = task.items("training", epoch, 1)
        heard = Counter(items.clip[label_is_word(task, items)].tolist())
        assert heard == dict.fromkeys(wanted, 1)


def test_training_items_are_shuffled_anew_and_the_others_stay_in_order() -> None:
    task = Task.to_learn(TaskSettings(), clips([*COMMANDS, *OTHERS]))

    assert (np.diff(task.items("training", 0, 1).label) != 0).mean() > 0.7
    validation = task.items("validation", 0, 1)
    words = validation.clip[label_is_word(task, validation)]
    assert (np.diff(words) > 0).all()


@pytest.mark.parametrize("part", ["validation", "testing"])
def test_what_is_measured_on_is_the_same_in_every_epoch(part: Part) -> None:
    task = Task.to_learn(TaskSettings(), clips([*COMMANDS, *OTHERS]))

    assert same(task.items(part, 0, 1), task.items(part, 35, 1))


def test_more_unknown_than_there_are_hears_each_equally_often_with_another_key() -> None:
    task = Task.to_learn(TaskSettings(labels=("yes",), unknown_share=2.75, unknown_times=1.0), clips(["yes", "bed"]))

    items = task.items("training", 0, 1)

    times = Counter(items.clip[items.label == task.labels.index(UNKNOWN)].tolist())
    assert set(times.values()) == {2, 3}
    assert sum(times.values()) == 55
    assert len(set(items.key.tolist())) == len(items)


@pytest.mark.parametrize("times", [0.5, 3.0])
def test_training_hears_unknown_words_so_many_times_and_the_other_parts_do_not(times: float) -> None:
    settings = TaskSettings(unknown_share=0.2, unknown_times=times)
    task = Task.to_learn(settings, clips([*COMMANDS, *OTHER_WORDS]))

    counts = {part: words_of(task, task.items(part, 0, 1))[UNKNOWN] for part in PARTS}

    assert counts == {"training": 40 * times, "validation": 20, "testing": 10}


def test_without_other_words_there_is_no_unknown_label() -> None:
    task = Task.to_learn(TaskSettings(labels=("yes", "no")), clips(["yes", "no"]))

    assert task.labels == (SILENCE, "yes", "no")


def test_unknown_that_is_asked_for_needs_other_words() -> None:
    with pytest.raises(DataError, match=r"unknown_share=0\.1 needs training clips of other words, and there are none"):
        Task.to_learn(TaskSettings(labels=("yes",), unknown_share=0.1), clips(["yes"]))


def test_a_share_of_nothing_leaves_the_label_out() -> None:
    everything = clips(["yes", "no", "bed"])

    assert Task.to_learn(TaskSettings(labels=("yes",), silence_share=0.0), everything).labels == (UNKNOWN, "yes")
    assert Task.to_learn(TaskSettings(labels=("yes",), unknown_share=0.0), everything).labels == (SILENCE, "yes")
    assert Task.to_learn(TaskSettings(labels="all", silence_share=0.5), everything).labels == (
        SILENCE,
        "bed",
        "no",
        "yes",
    )


def test_labels_that_a_source_gives_itself_are_used() -> None:
    # As TensorFlow Datasets has them: other words without their name, and silence as clips.
    everything = clips([*COMMANDS, UNKNOWN, SILENCE])
    task = Task.to_learn(TaskSettings(), everything)

    items = task.items("training", 0, 1)

    assert {everything[index].word for index in drawn_unknown(task, items)} == {UNKNOWN}
    assert SILENCE not in {everything[index].word for index in items.clip.tolist() if index >= 0}


@pytest.mark.parametrize(
    ("labels", "there", "says"),
    [
        ("12", ["yes", "no", "bed"], "labels='12' needs training clips of up, down, left, right, on, off, stop, go; "),
        ("35", [*COMMANDS], "labels='35' needs training clips of backward, bed, bird"),
        (("yes", "maybe"), ["yes", "no"], r"needs training clips of maybe; there are no, yes: choose among them"),
    ],
)
def test_a_missing_word_is_named_with_what_is_there(
    labels: CommonLabels | tuple[str, ...], there: list[str], says: str
) -> None:
    with pytest.raises(DataError, match=says) as found:
        Task.to_learn(TaskSettings(labels=labels), clips(there))

    assert ", ".join(sorted(there)) in str(found.value)
    assert "\n" not in str(found.value)


def test_a_word_without_training_clips_is_missing() -> None:
    everything = clips(["yes"]) + clips(["no"], {"validation": 3})

    with pytest.raises(DataError, match="needs training clips of no"):
        Task.to_learn(TaskSettings(labels=("yes", "no")), everything)


def test_no_words_at_all_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels='all' finds no words; add a source that has some"):
        Task.to_learn(TaskSettings(labels="all"), clips([UNKNOWN]))


def test_a_model_is_judged_on_the_words_that_are_there() -> None:
    labels = (SILENCE, UNKNOWN, "yes", "no")
    everything = clips(["yes", "bed"])

    task = Task.to_judge(labels, TaskSettings(labels=("yes", "no")), everything)

    assert task.labels == labels
    assert words_of(task, task.items("validation", 0, 1)) == {SILENCE: 1, UNKNOWN: 1, "yes": 10}


def test_a_model_without_unknown_is_not_judged_on_other_words() -> None:
    task = Task.to_judge(("no", "yes"), TaskSettings(labels="all"), clips(["yes", "bed"]))

    assert words_of(task, task.items("testing", 0, 1)) == {"yes": 5}


def test_words_that_are_left_out_are_judged_by_and_never_heard_in_training() -> None:
    everything = clips(["yes", "no", *OTHERS])
    settings = TaskSettings(labels=("yes", "no"), unknown_share=3.0, left_out=("bird", "cat"))
    task = Task.to_learn(settings, everything)

    for heard in (task.items("training", 0, 1).clip, task.splice_partners()):
        assert {everything[clip].word for clip in heard if clip >= 0} == {"yes", "no", "bed"}
    judged = task.items("validation", 0, 1).clip
    assert {everything[clip].word for clip in judged if clip >= 0} == {"yes", "no", *OTHERS}


def test_what_is_to_be_told_apart_cannot_be_left_out() -> None:
    with pytest.raises(DataError, match="left_out names yes, which are to be told apart"):
        Task.to_learn(TaskSettings(labels=("yes",), left_out=("yes", "bed")), clips(["yes", "bed"]))


def test_without_what_is_left_out_there_may_be_no_unknown_words() -> None:
    settings = TaskSettings(labels=("yes",), left_out=("bed",))

    assert Task.to_learn(settings, clips(["yes", "bed"])).labels == (SILENCE, "yes")
    with pytest.raises(DataError, match="there are none but those of left_out; add a source"):
        Task.to_learn(settings.changed(unknown_share=0.1), clips(["yes", "bed"]))


def test_left_out_words_must_be_there_and_known() -> None:
    settings = TaskSettings(labels=("yes",), left_out=("bed",))

    with pytest.raises(DataError, match="left_out names bed, of which there are no clips"):
        Task.to_learn(settings, clips(["yes", "bird"]))
    with pytest.raises(DataError, match="left_out needs to know each clip's word"):
        Task.to_learn(settings, clips(["yes", "bed", UNKNOWN]))


def test_splices_are_made_of_training_clips_only() -> None:
    everything = clips([*COMMANDS, *OTHERS])

    partners = Task.to_learn(TaskSettings(), everything).splice_partners()

    assert sorted(partners.tolist()) == [i for i, clip in enumerate(everything) if clip.part == "training"]


def test_a_larger_share_of_the_training_clips_holds_all_of_a_smaller_one() -> None:
    everything = clips([*COMMANDS, *OTHERS], {"training": 200, "validation": 10, "testing": 5})

    def heard(share: float) -> tuple[Task, set[int]]:
        task = Task.to_learn(TaskSettings(unknown_times=0.0, heard_share=share), everything)
        return task, {clip for clip in task.items("training", 3, 1).clip.tolist() if clip >= 0}

    (a_tenth, few), (_, more), (whole, all_of_them) = heard(0.1), heard(0.3), heard(1.0)

    assert few < more < all_of_them
    assert len(all_of_them) == 200 * len(COMMANDS)
    assert len(few) == pytest.approx(0.1 * len(all_of_them), rel=0.2)
    assert len(more) == pytest.approx(0.3 * len(all_of_them), rel=0.2)
    assert set(a_tenth.splice_partners().tolist()) < set(whole.splice_partners().tolist())
    for part in ("validation", "testing"):
        assert same(a_tenth.items(part, 0, 1), whole.items(part, 0, 1))


def test_clips_may_be_heard_several_times_in_an_epoch_each_time_with_another_key() -> None:
    everything = clips([*COMMANDS, *OTHERS])
    once, often = (Task.to_learn(TaskSettings(heard_times=times), everything) for times in (1, 3))

    items = often.items("training", 0, 1)

    words = items.clip[items.label > 1]
    assert set(Counter(words.tolist()).values()) == {3}
    assert len(set(items.key.tolist())) == len(items)
    assert len(items) == 3 * len(once.items("training", 0, 1))
    assert same(often.items("validation", 0, 1), once.items("validation", 0, 1))


def test_speakers_who_choose_settings_are_taken_out_of_training_and_validation_is_not_looked_at() -> None:
    everything = clips(COMMANDS, {"training": 200, "validation": 10, "testing": 5})
    tuning = TaskSettings(tuning_share=0.2)
    learning, judging = Task.to_learn(tuning, everything), Task.to_judge(("yes", "no"), tuning, everything)

    def speakers(task: Task, part: Part) -> set[str]:
        return {everything[clip].speaker for clip in task.items(part, 0, 1).clip.tolist() if clip >= 0}

    chosen = speakers(learning, "validation")
    assert 20 <= len(chosen) <= 60
    assert chosen | speakers(learning, "training") == {f"training{number}" for number in range(200)}
    assert not chosen & speakers(learning, "training")
    assert speakers(judging, "validation") == chosen
    assert speakers(learning, "testing") == {f"testing{number}" for number in range(5)}


def test_a_share_that_leaves_a_word_without_clips_is_refused() -> None:
    with pytest.raises(DataError, match=r"heard_share=0.001 and tuning_share=0.0 leave training no clip of yes, no,"):
        Task.to_learn(TaskSettings(heard_share=0.001), clips([*COMMANDS, *OTHERS]))


def test_so_few_speakers_that_none_stands_in_for_validation_are_refused() -> None:
    everything = clips(["yes", "no"], {"training": 2, "validation": 5, "testing": 5})
    tuning = TaskSettings(labels=("yes", "no"), tuning_share=1e-9)

    with pytest.raises(DataError, match=r"tuning_share=1e-09 of 2 training speakers leaves none .* give the learning"):
        Task.to_learn(tuning, everything)
