"""What each reader of questions makes of its layout: ids, splits, answers, what is beside them."""

import json

import pytest

from saccade.core.errors import BadConfig, BadData
from saccade.data.folder import DataFolder, fingerprint
from saccade.data.records import ImageRecord, Question
from saccade.datasets.catalogue import read_source
from saccade.datasets.prepare import prepare
from tests.sample_files import write_lines
from tests.source_samples import (
    SAMPLES,
    daquar_lines,
    gqa_questions,
    save,
    touch,
    vqa_annotations,
    vqa_questions,
    write_vqa_v2,
)


class TestMultipleChoice:
    @pytest.fixture
    def root(self, tmp_path):
        root = tmp_path / "raw"
        for subset, image in (("train2014", 9), ("val2014", 42)):
            document = vqa_questions(subset, image)
            document["num_choices"] = 3
            for question in document["questions"]:
                question["multiple_choices"] = ["red", "blue", f"{question['question_id']}"]
            save(root / f"MultipleChoice_mscoco_{subset}_questions.json", document)
            save(root / f"mscoco_{subset}_annotations.json", vqa_annotations(subset, image))
            touch(root, f"{subset}/COCO_{subset}_{image:012}.jpg")
        return root

    def test_choices_are_kept_beside_the_questions(self, root, tmp_path):
        with pytest.raises(BadData, match="OpenEnded_mscoco_train2014"):
            read_source("vqa-v1", root)
        made = prepare("vqa-v1", root, tmp_path / "data", form="multiple-choice")
        assert DataFolder(made).choices()[42001] == ("red", "blue", "42001")
        assert len(DataFolder(made).choices()) == 6
        assert DataFolder(made).questions("val")[0].answers

    def test_open_ended_folders_have_none(self, root, tmp_path):
        write_vqa_v2(tmp_path / "open")
        made = prepare("vqa-v2", tmp_path / "open", tmp_path / "data")
        assert DataFolder(made).choices() == {}
        assert DataFolder(made).pairs() == []

    def test_they_count_in_the_fingerprint_and_go_when_prepared_again(self, root, tmp_path):
        made = prepare("vqa-v1", root, tmp_path / "data", form="multiple-choice")
        before = DataFolder(made).fingerprint
        for subset in ("train2014", "val2014"):
            document = json.loads(
                (root / f"MultipleChoice_mscoco_{subset}_questions.json").read_text()
            )
            save(root / f"OpenEnded_mscoco_{subset}_questions.json", document)
        with pytest.raises(BadConfig):  # other files: other data
            prepare("vqa-v1", root, made)
        assert DataFolder(made).fingerprint == before
        prepare("vqa-v1", root, made, replace_other=True)
        assert DataFolder(made).fingerprint != before
        assert not (made / "choices.parquet").exists()

    @pytest.mark.parametrize("choices", [[], "red", ["red", 3]])
    def test_choices_of_another_form_are_refused(self, root, choices):
        path = root / "MultipleChoice_mscoco_val2014_questions.json"
        document = json.loads(path.read_text())
        document["questions"][0]["multiple_choices"] = choices
        save(path, document)
        with pytest.raises(BadData, match=r"multiple_choices|choices of question 42000"):
            read_source("vqa-v1", root, form="multiple-choice")


class TestBalancedPairs:
    def test_pairs_of_questions_that_are_there_are_kept(self, tmp_path):
        write_vqa_v2(tmp_path / "raw")
        name = "v2_mscoco_train2014_complementary_pairs.json"
        save(tmp_path / "raw" / name, [[9000, 9001], [9002, 555]])
        made = prepare("vqa-v2", tmp_path / "raw", tmp_path / "data")
        assert DataFolder(made).pairs() == [(9000, 9001)]

    @pytest.mark.parametrize("pairs", [[[1, 2, 3]], [["1", "2"]], [7], [[True, 2]]])
    def test_other_lists_are_refused(self, tmp_path, pairs):
        write_vqa_v2(tmp_path)
        name = "v2_mscoco_val2014_complementary_pairs.json"
        save(tmp_path / name, pairs)
        with pytest.raises(BadData, match=r"pair number 1 is .*not two question ids"):
            read_source("vqa-v2", tmp_path)


class TestVisualGenome:
    def test_records(self, tmp_path):
        SAMPLES["visual-genome"](tmp_path)
        collection = read_source("visual-genome", tmp_path, val_share="0.2")
        assert collection.questions[0] == Question(
            10, 1, "What is 0?", collection.questions[0].split, ("A clock",), "A clock"
        )
        assert [p.file for p in collection.images][9:11] == ["VG_100K/10.jpg", "VG_100K_2/11.jpg"]
        assert sum(p.split == "val" for p in collection.images) == 4
        assert any(note.startswith("10 of 20 images are COCO's too") for note in collection.notes)

    def test_the_list_of_version_1(self, tmp_path):
        SAMPLES["visual-genome"](tmp_path)
        path = tmp_path / "image_data.json"
        path.write_text(path.read_text().replace('"image_id"', '"id"'))
        collection = read_source("visual-genome", tmp_path)
        assert any(note.startswith("10 of 20 images are COCO's too") for note in collection.notes)

    def test_images_are_found_without_their_list(self, tmp_path):
        SAMPLES["visual-genome"](tmp_path)
        (tmp_path / "image_data.json").unlink()
        collection = read_source("visual-genome", tmp_path)
        assert collection.images[19].file == "VG_100K_2/20.jpg"


class TestGqa:
    def test_records(self, tmp_path):
        SAMPLES["gqa"](tmp_path)
        collection = read_source("gqa", tmp_path)
        first, *_, last = collection.questions
        assert first == Question(
            10293010, 2370799, "Is it 0?", "train", ("yes",), "yes", "verify", "obj"
        )
        assert (last.id, last.image_id, last.split) == (1202, 1_000_000_578_223, "test")

    def test_ids_that_differ_by_a_zero_stay_apart(self, tmp_path):
        SAMPLES["gqa"](tmp_path)
        questions = gqa_questions("029301", "2370799") | gqa_questions("0029301", "2370799")
        save(tmp_path / "questions/train_balanced_questions.json", questions)
        ids = [q.id for q in read_source("gqa", tmp_path).questions if q.split == "train"]
        assert len(set(ids)) == 6

    def test_all_questions_lie_in_a_folder_of_their_own(self, tmp_path):
        SAMPLES["gqa"](tmp_path)
        (tmp_path / "questions").rename(tmp_path / "questions1.2")
        for place in range(2):
            name = f"questions1.2/train_all_questions/train_all_questions_{place}.json"
            save(tmp_path / name, gqa_questions(f"09{place}", "2370799"))
        assert read_source("gqa", tmp_path).edition == "balanced, testdev"
        collection = read_source("gqa", tmp_path, kind="all")
        assert [q.id for q in collection.questions][2:4] == [10902, 10910]
        with pytest.raises(BadConfig, match="kind=most"):
            read_source("gqa", tmp_path, kind="most")

    def test_secret_answers(self, tmp_path):
        SAMPLES["gqa"](tmp_path)
        name = "questions/test_balanced_questions.json"
        save(tmp_path / name, gqa_questions("201", "n7", answers=False))
        touch(tmp_path, "images/n7.jpg")
        collection = read_source("gqa", tmp_path, test="test")
        secret = [q for q in collection.questions if q.split == "test"]
        assert {(q.answers, q.best_answer) for q in secret} == {((), "")}
        assert len(secret) == 3


class TestDaquar:
    def test_the_image_leaves_the_question(self, tmp_path):
        SAMPLES["daquar"](tmp_path)
        questions = read_source("daquar", tmp_path, val_share="0").questions
        assert questions[2] == Question(
            5, 2, "what is on the table in the image ?", "train", ("lamp",), "lamp"
        )
        assert questions[3].answers == ("knife, fork",)
        assert not any(digit in q.text for q in questions for digit in "0123456789")
        assert [q.id for q in questions if q.split == "test"] == [
            1000001,
            1000003,
            1000005,
            1000007,
        ]

    @pytest.mark.parametrize(
        "text", ["in th eimage7 ?", "in the image7", "left of the image7 in the image 7 ?"]
    )
    def test_questions_as_they_were_typed(self, text, tmp_path):
        write_lines(tmp_path / "qa.894.raw.train.txt", f"how many are {text}", "6")
        write_lines(tmp_path / "qa.894.raw.test.txt", "what is in the image8 ?", "lamp")
        asked = read_source("daquar", tmp_path, val_share="0").questions[0]
        assert (asked.image_id, "7" in asked.text, asked.answers) == (7, False, ("6",))

    def test_both_kinds_want_a_choice(self, tmp_path):
        SAMPLES["daquar"](tmp_path)
        (tmp_path / "qa.37.raw.train.txt").write_text(daquar_lines(range(1, 3)))
        with pytest.raises(BadConfig, match="--option kind=894 or --option kind=37"):
            read_source("daquar", tmp_path)
        collection = read_source("daquar", tmp_path, kind="37")
        assert len(collection.questions) == 4
        assert collection.edition == "37"

    def test_the_reduced_test_questions_are_read_where_the_others_are_not_there(self, tmp_path):
        SAMPLES["daquar"](tmp_path)
        (tmp_path / "qa.894.raw.test.txt").unlink()
        (tmp_path / "qa.894.raw.train.txt").unlink()
        (tmp_path / "qa.37.raw.train.txt").write_text(daquar_lines(range(1, 11)))
        (tmp_path / "qa.37.raw.reduced.test.txt").write_text(daquar_lines(range(11, 12)))
        collection = read_source("daquar", tmp_path)
        assert sum(q.split == "test" for q in collection.questions) == 2
        assert "the reduced ones of qa.37.raw.reduced.test.txt" in collection.notes[-1]
        (tmp_path / "qa.37.raw.test.txt").write_text(daquar_lines(range(11, 13)))
        collection = read_source("daquar", tmp_path)
        assert sum(q.split == "test" for q in collection.questions) == 4
        assert not any("reduced" in note for note in collection.notes)


class TestEasyVqa:
    def test_both_parts_count_from_zero(self, tmp_path):
        SAMPLES["easy-vqa"](tmp_path / "easy_vqa/data")
        collection = read_source("easy-vqa", tmp_path / "easy_vqa")
        assert collection.image_root == str(tmp_path / "easy_vqa/data")
        assert collection.images[0].file == "train/images/0.png"
        assert collection.images[10] == ImageRecord(1_000_000, "test/images/0.png", "test")
        assert [q.split for q in collection.questions].count("val") == 2

    def test_without_a_test_part(self, tmp_path):
        SAMPLES["easy-vqa"](tmp_path)
        (tmp_path / "test/questions.json").unlink()
        assert "no test split" in read_source("easy-vqa", tmp_path).notes[-1]


class TestSurgery:
    def test_endovis(self, tmp_path):
        SAMPLES["endovis18-vqa"](tmp_path)
        collection = read_source("endovis18-vqa", tmp_path)
        assert collection.images[1] == ImageRecord(10120, "seq_1/left_frames/frame120.png", "val")
        assert collection.questions[3] == Question(
            1012002, 10120, "What is the state of bipolar_forceps?", "val", ("Idle",), "Idle"
        )
        assert {p.split for p in collection.images if p.id > 20000} == {"train"}

    def test_endovis_with_the_other_name_of_its_images(self, tmp_path):
        SAMPLES["endovis18-vqa"](tmp_path)
        (tmp_path / "seq_2/left_frames").rename(tmp_path / "seq_2/left_fr")
        images = read_source("endovis18-vqa", tmp_path).images
        assert images[-1].file == "seq_2/left_fr/frame120.png"

    def test_cholec_uses_every_hundredth_frame(self, tmp_path):
        SAMPLES["cholec80-vqa"](tmp_path)
        collection = read_source("cholec80-vqa", tmp_path)
        assert [(p.id, p.split) for p in collection.images] == [
            (1_000_000, "train"), (1_000_100, "train"), (5_000_000, "val"), (5_000_100, "val"),
        ]  # fmt: skip
        assert "2 frames were left out" in collection.notes[-1]
        assert len(read_source("cholec80-vqa", tmp_path, every="25").images) == 6
        (tmp_path / "cropped_image").rename(tmp_path / "cropped_images")  # as its README writes it
        images = read_source("cholec80-vqa", tmp_path).images
        assert images[0].file == "cropped_images/1/0.png"

    def test_pitvqa_leaves_out_two_answers(self, tmp_path):
        SAMPLES["pitvqa"](tmp_path)
        collection = read_source("pitvqa", tmp_path)
        assert collection.images[0] == ImageRecord(100003, "images/video_01/00003.png", "train")
        assert {p.split for p in collection.images} == {"train", "val"}
        assert len(collection.questions) == 4 * 8
        assert collection.questions[5] == Question(
            10000306, 100003,
            "What surgical activity is performing by the instrument no_visible_instrument?",
            "train", ("The sella is identified, confirmed and carefully opened",),
            "The sella is identified, confirmed and carefully opened", "", "note",
        )  # fmt: skip
        everything = read_source("pitvqa", tmp_path, all_answers="yes")
        assert len(everything.questions) == 4 * 9
        assert fingerprint(everything) != fingerprint(collection)


class TestVqaWithLess:
    def spoil(self, root, how):
        write_vqa_v2(root)
        for subset in ("train2014", "val2014"):
            path = root / f"v2_mscoco_{subset}_annotations.json"
            document = json.loads(path.read_text())
            how(document["annotations"])
            save(path, document)

    def test_the_best_answer_is_the_commonest_where_none_is_named(self, tmp_path):
        def how(records):
            for record in records:
                for field in ("multiple_choice_answer", "answer_type", "question_type"):
                    del record[field]

        self.spoil(tmp_path, how)
        questions = read_source("vqa-v2", tmp_path).questions
        assert {(q.best_answer, q.answer_type, q.question_type) for q in questions} == {
            ("red", "", "")
        }

    @pytest.mark.parametrize("field", ["multiple_choice_answer", "answer_type", "question_type"])
    def test_a_field_that_only_some_records_have(self, field, tmp_path):
        self.spoil(tmp_path, lambda records: records[1].pop(field))
        with pytest.raises(BadData, match=f'no field "{field}"'):
            read_source("vqa-v2", tmp_path)


class TestLayouts:
    def read(self, name, tmp_path, **options):
        SAMPLES[name](tmp_path / name)
        return read_source(name, tmp_path / name, **options)

    def test_visual7w_offers_the_right_choice_among_four(self, tmp_path):
        read = self.read("visual7w", tmp_path)
        for question in read.questions:
            assert len(set(read.choices[question.id])) == 4
            assert question.best_answer in read.choices[question.id]

    def test_visual7w_as_its_toolkit_names_it(self, tmp_path):
        """Beside the questions that are answered by boxes, in a file of the same name."""
        SAMPLES["visual7w"](tmp_path)
        released = tmp_path / "dataset_v7w_telling.json"
        document = json.loads(released.read_text())
        boxes = {**document, "boxes": [{"box_id": 7}]}
        boxes["images"] = json.loads(json.dumps(document["images"]).replace('"what"', '"which"'))
        save(tmp_path / "visual7w-pointing/dataset.json", boxes)
        save(tmp_path / "visual7w-telling/dataset.json", document)
        released.unlink()
        read = read_source("visual7w", tmp_path)
        assert len(read.questions) == 12
        assert {q.question_type for q in read.questions} == {"what"}

    @pytest.mark.parametrize("of", ["aokvqa", "gqa"])
    def test_pope_about_other_images(self, of, tmp_path):
        for kind in ("random", "popular"):
            asked = {"question_id": 1, "image": "7.jpg", "text": f"Is there a {kind}?"}
            save(tmp_path / f"seem/{of}_pope_seem_{kind}.json", [{**asked, "label": "yes"}])
        touch(tmp_path, "images/7.jpg")
        (question,) = read_source("pope", tmp_path, part="popular").questions
        assert (question.text, question.split) == ("Is there a popular?", "test")
        assert len(read_source("pope", tmp_path).questions) == 2

    def test_balanced_questions_about_abstract_scenes(self, tmp_path):
        """Of 2017; their images are named after 2015."""
        for split, image in (("train", 87), ("val", 900289402)):
            name = f"abstract_v002_{split}2017"
            asked = {"question_id": image * 10, "image_id": image, "question": "Is it?"}
            answered = {**asked, "answers": [{"answer": "yes"}], "multiple_choice_answer": "yes"}
            save(tmp_path / f"OpenEnded_{name}_questions.json", {"questions": [asked]})
            save(tmp_path / f"{name}_annotations.json", {"annotations": [answered]})
            folder = f"scene_img_abstract_v002_binary_{split}2017/scene_img_{name}"
            touch(tmp_path, f"{folder}/abstract_v002_{split}2015_{image:012}.png")
        read = read_source("vqa-abstract", tmp_path)
        assert [(tmp_path / image.file).is_file() for image in read.images] == [True, True]

    def test_one_question_of_slake_has_no_answer(self, tmp_path):
        read = self.read("slake", tmp_path, part="en")
        assert len(read.questions) == 9
        assert len({image.id for image in read.images}) == len(read.images)  # as in each language
        assert "1 record was left out of train.json: no answer." in read.notes

    def test_scienceqa_answers_by_the_number_of_a_choice(self, tmp_path):
        read = self.read("scienceqa", tmp_path)
        assert [q.answers for q in read.questions[:2]] == [("the right",), ("the left",)]
        assert {one.released for one in read.released_ids} == {
            "101",
            "102",
            "151",
            "152",
            "171",
            "172",
        }
        assert read.notes[0].startswith("3 records were left out of problems.json")

    def test_a_conversation_is_pairs_of_question_and_reply(self, tmp_path):
        read = self.read("llava", tmp_path)
        assert [(q.text, q.answers) for q in read.questions[2:4]] == [
            ("What is it?", ("It is number 1.",)),
            ("Is it red?", ("No.",)),
        ]
        turns = "instruct_2k.json ([].conversations[])"
        assert read.notes[:2] == [
            f"2 records were left out of {turns}: no image.",
            f"40 records of {turns} are the answers to those before them.",
        ]

    def test_coco_qa_and_vivqa_have_words_for_types_and_numbers_of_coco(self, tmp_path):
        read = self.read("coco-qa", tmp_path)
        assert {q.question_type for q in read.questions} == {"color", "number", "object"}
        assert {image.id for image in read.images} == {600, 601, 602, 700, 701, 702}
        assert {q.question_type for q in self.read("vivqa", tmp_path).questions} == {"color"}

    def test_several_answers_of_vqa_med(self, tmp_path):
        read = self.read("vqa-med-2019", tmp_path)
        assert [(q.answers, q.question_type) for q in read.questions if q.split == "test"] == [
            (("axial",), "plane"),
            (("a mass", "neoplasm"), "abnormality"),
        ]

    @pytest.mark.parametrize("part", ["all", "head", "tail"])
    def test_gqa_ood_with_the_training_questions_of_gqa(self, part, tmp_path):
        SAMPLES["gqa-ood"](tmp_path)
        path = tmp_path / "questions/train_balanced_questions.json"
        save(path, gqa_questions("029301", "2370799"))
        read = read_source("gqa-ood", tmp_path, part=part)
        assert {q.split for q in read.questions} == {"train", "val", "test"}
        start = {"all": "0507", "head": "05071", "tail": "05072"}[part]
        assert {q.id for q in read.questions if q.split == "val"} == {
            int(f"1{start}{n}") for n in range(3)
        }

    def test_lists_of_blip_take_visual_genome_for_training_or_not(self, tmp_path):
        assert (
            len([q for q in self.read("blip-vqa", tmp_path).questions if q.split == "train"]) == 4
        )
        alone = read_source("blip-vqa", tmp_path / "blip-vqa", part="vqa")
        assert len([q for q in alone.questions if q.split == "train"]) == 3
