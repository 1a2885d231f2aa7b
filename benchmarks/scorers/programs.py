"""One function a package: the package's own scores of predictions, by its own functions.

Run as a program of its own, `python -m benchmarks.scorers.programs FOLDER NAME`, with the package
in FOLDER. The input is JSON, a list of sets: `predictions`, a list of texts, and `people`, for each
all that people wrote. The output is for each set a list of accuracies in 0..1, one for each
question, or scores of captions by their names.
"""

import contextlib
import inspect
import io
import json
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from benchmarks.scorers.stand_ins import load

Texts = list[str]
People = list[list[str]]
Program = Callable[[Texts, People], Any]


def each(scored: Callable[[str, list[str]], float]) -> Program:
    """A function of all from one of a single prediction."""
    return lambda predictions, people: [
        scored(*pair) for pair in zip(predictions, people, strict=True)
    ]


def ask_once(owner: Any, *names: str) -> None:
    """Ask functions of one text once for each text: it changes no result, and takes a tenth."""
    for name in names:
        original, made = getattr(owner, name), owner
        if inspect.isclass(owner):
            made = owner.__new__(owner)
            once = lru_cache(None)(partial(original, made))
            setattr(owner, name, lambda _self, text, once=once: once(text))
        else:
            setattr(owner, name, lru_cache(None)(original))


def numbered(answers: list[str]) -> list[dict[str, Any]]:
    """People's answers as records that differ by their number, as released."""
    return [{"answer": answer, "answer_id": n} for n, answer in enumerate(answers, 1)]


def lmms_eval(folder: str) -> Program:
    """lmms-eval: what its task `vqav2` makes of a record and an answer."""
    found = load(folder, "lmms_eval.tasks.vqav2.utils")
    ask_once(found.EvalAIAnswerProcessor, "process_punctuation", "process_digit_article")
    process = found.vqav2_process_results

    def one(text: str, people: list[str]) -> float:
        found = process({"answers": numbered(people), "question_id": 1}, [text])
        return float(found["exact_match"])

    return each(one)


def mmf(folder: str) -> Program:
    """mmf: the evaluator of TextVQA, which its VQA 2 models are also scored by in EvalAI form."""
    found = load(folder, "mmf.utils.m4c_evaluators")
    ask_once(found.EvalAIAnswerProcessor, "__call__")
    evaluator = found.TextVQAAccuracyEvaluator()
    return each(
        lambda text, people: evaluator.eval_pred_list([{"pred_answer": text, "gt_answers": people}])
    )


def mmpretrain(folder: str) -> Program:
    """mmpretrain: the metric `VQAAcc`."""
    module = load(folder, "mmpretrain.evaluation.metrics.vqa")
    ask_once(module, "_process_punctuation", "_process_digit_article")
    metric = module.VQAAcc
    made = metric.__new__(metric)
    made.full_score_weight = (
        inspect.signature(metric.__init__).parameters["full_score_weight"].default
    )

    def one(text: str, people: list[str]) -> float:
        made.results = []
        made.process(None, [{"pred_answer": text, "gt_answer": people}])
        return float(made.compute_metrics(made.results)["acc"] / 100)

    return each(one)


def ms_vlmeval(folder: str) -> Program:
    """VLMEvalKit: `vqa_score`, as for TextVQA."""
    found = load(folder, "vlmeval.dataset.utils.vqa_eval")
    ask_once(found, "process_answer")

    def one(text: str, people: list[str]) -> float:
        line = {"answer": str(people), "prediction": text}
        match = found.process_line(line, method="vqa_score")
        return float(found.hit_calculate([match], "TextVQA_VAL")[0])

    return each(one)


def evalscope(folder: str) -> Program:
    """evalscope: the `vqa_score` of its benchmark `vqav2`, behind its extraction of the answer."""
    found = load(folder, "evalscope.benchmarks.vqav2.vqav2_adapter")
    ask_once(found, "_normalize_vqa_answer")
    adapter = found.VQAv2Adapter.__new__(found.VQAv2Adapter)

    def one(text: str, people: list[str]) -> float:
        answers = found._ensure_answer_list(people)
        return float(found._vqa_soft_accuracy(adapter.extract_answer(text, None), answers))

    return each(one)


def crfm_helm(folder: str) -> Program:
    """HELM: the main metric of its scenario `vqa`, the best over all references."""
    score = load(folder, "helm.benchmark.metrics.evaluate_reference_metrics")
    ask_once(score, "normalize_text")
    return each(
        lambda text, people: max(score.quasi_prefix_exact_match(p, text.strip()) for p in people)
    )


def _official_class(folder: str, module: str, name: str) -> Program:
    """Programs that hold a changed copy of the official class."""
    made = load(folder, module)

    class Released:
        def __init__(self, predictions: Texts, people: People) -> None:
            ids = range(len(predictions))
            about = {"question_type": "", "answer_type": ""}
            self.qa = {n: {"answers": numbered(people[n]), **about} for n in ids}
            self.getQuesIds = lambda: [*ids]
            self.answers = {n: {"answer": predictions[n]} for n in ids}

    def all_of(predictions: Texts, people: People) -> Any:
        data = Released(predictions, people)
        given = type("", (), {"qa": data.answers, "getQuesIds": lambda self: [*data.qa]})()
        scorer = getattr(made, name)(data, given, n=12)
        ask_once(scorer, "processPunctuation", "processDigitArticle")
        scorer.updateProgress = lambda _share: None
        with contextlib.redirect_stdout(io.StringIO()):
            scorer.evaluate()
        return [scorer.evalQA[n] / 100 for n in data.qa]

    return all_of


def open_flamingo(folder: str) -> Program:
    """OpenFlamingo: its copy of the official class."""
    return _official_class(folder, "open_flamingo.eval.vqa_metric", "VQAEval")


def salesforce_lavis(folder: str) -> Program:
    """LAVIS: its copy of the official class."""
    return _official_class(folder, "lavis.common.vqa_tools.vqa_eval", "VQAEval")


def multimodal(folder: str) -> Program:
    """multimodal: its copy of the official class."""
    return _official_class(folder, "multimodal.datasets.vqa_eval", "VQAEval")


def allennlp_models(folder: str) -> Program:
    """AllenNLP: the label weight of the answer among the counted answers of the reader `vqav2`."""
    utils = load(folder, "allennlp_models.vision.dataset_readers.utils")
    ask_once(utils, "preprocess_answer")
    clean = utils.preprocess_answer
    share = load(folder, "allennlp_models.vision.dataset_readers.vqav2").get_score

    def one(text: str, people: list[str]) -> float:
        count = sum(clean(answer) == clean(text) for answer in people)
        return share(count) if count else 0.0

    return each(one)


def _coco(scorers: dict[str, Any]) -> Program:
    """pycocoevalcap's classes, or those of a copy of it, over words between blanks."""

    def all_of(predictions: Texts, people: People) -> Any:
        given = {n: [text] for n, text in enumerate(predictions)}
        human = dict(enumerate(people))
        found = {}
        with contextlib.redirect_stdout(io.StringIO()):
            for name, scorer in scorers.items():
                found[name] = scorer.compute_score(human, given)[0]
        if "bleu" in found:
            found |= {f"bleu_{n}": value for n, value in enumerate(found.pop("bleu"), 1)}
        return found

    return all_of


def pycocoevalcap(folder: str, package: str = "pycocoevalcap") -> Program:
    """pycocoevalcap: BLEU and CIDEr over words between blanks, without its Java tokenizer."""
    return _coco(
        {
            "bleu": load(folder, f"{package}.bleu.bleu").Bleu(4),
            "cider": load(folder, f"{package}.cider.cider").Cider(),
        }
    )


def pycocoevalcap_cn(folder: str) -> Program:
    """pycocoevalcap-cn: the same of the copy for Chinese."""
    return pycocoevalcap(folder, "pycocoevalcap_cn")


def ms_vlmeval_captions(folder: str) -> Program:
    """VLMEvalKit: `COCO_Caption_Scorer`."""
    scorer = load(folder, "vlmeval.dataset.image_caption").COCO_Caption_Scorer

    def all_of(predictions: Texts, people: People) -> Any:
        given = {str(n): [text] for n, text in enumerate(predictions)}
        human = {str(n): some for n, some in enumerate(people)}
        with contextlib.redirect_stdout(io.StringIO()):
            found = scorer(given, human).compute_scores()
        bleu = {f"bleu_{n}": value / 100 for n, value in enumerate(found["Bleu"], 1)}
        return bleu | {"rouge_l": found["ROUGE_L"] / 100, "cider": found["CIDEr"] / 100}

    return all_of


def anls(folder: str) -> Program:
    """anls: `anls_score`."""
    score = load(folder, "anls.metrics.score").anls_score
    return each(lambda text, people: score(prediction=text, gold_labels=people))


def anls_star(folder: str) -> Program:
    """anls-star: `anls_score`, people as alternatives."""
    score = load(folder, "anls_star.anls_star").anls_score
    return each(lambda text, people: score(tuple(people), text))


def inspect_evals(folder: str) -> Program:
    """inspect-evals: the score of its task `docvqa`."""
    score = load(folder, "inspect_evals.docvqa.docvqa")._best_normalized_levenshtein_similiarity
    return each(lambda text, people: score(text, people, 0.5))


def ms_vlmeval_anls(folder: str) -> Program:
    """VLMEvalKit: `anls`, as for DocVQA."""
    found = load(folder, "vlmeval.dataset.utils.vqa_eval")

    def one(text: str, people: list[str]) -> float:
        match = found.process_line({"answer": str(people), "prediction": text}, method="anls")
        return float(found.hit_calculate([match], "DocVQA_VAL")[0])

    return each(one)


def nltk(folder: str) -> Program:
    """nltk: `corpus_bleu` of four, words between blanks."""
    bleu = load(folder, "nltk.translate.bleu_score").corpus_bleu

    def all_of(predictions: Texts, people: People) -> Any:
        human = [[one.split() for one in some] for some in people]
        return {"bleu_4": bleu(human, [text.split() for text in predictions])}

    return all_of


def sacrebleu(folder: str) -> Program:
    """sacrebleu: corpus BLEU by its own tokenizer, without a hint about tokenized text."""
    bleu = load(folder, "sacrebleu.metrics.bleu").BLEU

    def all_of(predictions: Texts, people: People) -> Any:
        most = max(map(len, people))
        streams = [[some[n] if n < len(some) else None for some in people] for n in range(most)]
        return {"bleu_4": bleu(force=True).corpus_score(predictions, streams).score / 100}

    return all_of


def main() -> None:
    """Scores of the sets that stand in the standard input."""
    folder, name = sys.argv[1:]
    given = json.load(sys.stdin)
    output, sys.stdout = sys.stdout, sys.stderr  # what a package prints is no result
    program = globals()[name](folder)
    json.dump([program(one["predictions"], one["people"]) for one in given], output)


if __name__ == "__main__":
    main()
