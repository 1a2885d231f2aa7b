"""Every public set that `saccade download` fetches, and how to get those that it may not.

What is fetched comes from the makers' own addresses, by the person who runs the command, under the
licence that stands beside it. A set is listed with steps instead of files where its makers ask for
a form, state terms to agree to, or state no licence.

SHA-256 values are those that others published, never made up: `sha256_from` says who. Where none
is known, the first download writes down what came, and later ones must be the same.
"""

from typing import NamedTuple

from saccade.data.sources import CC_BY, CHALLENGE, FLICKR


class File(NamedTuple):
    """A file of a set."""

    name: str
    urls: tuple[str, ...]
    """Tried in turn."""
    bytes: int | None = None
    """Exact where the SHA-256 is known, otherwise about; None where nobody said."""
    sha256: str | None = None
    sha256_from: str = ""
    into: str = ""
    """The folder below the target that a picture archive is unpacked into."""
    unpacks: bool = True
    """If a .zip or .tar is unpacked."""
    steady: bool = True
    """False where the server packs it anew each time, so that its bytes differ."""
    tried: bool = False
    """If this project has fetched it from there."""


class Download(NamedTuple):
    """A line of the table: files to fetch, or steps for a person."""

    summary: str
    licence: str
    then: str
    """What reads it: a source of `saccade prepare`, or another command."""
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()


TFDS = "TensorFlow Datasets, url_checksums/coco_captions.txt"
COCO_SITE = "http://images.cocodataset.org"  # its https certificate is not of that name
VQA_SITE = "https://cvmlp.s3.amazonaws.com/vqa/mscoco/vqa"
QUESTIONS = ("Questions_Train", "Questions_Val", "Questions_Test")
ANSWERS = ("Annotations_Train", "Annotations_Val")
VG_SITE = "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset"
RAD_COMMIT = "0cca6811e38cf54aff6a7cce3442296d07875e64"
RAD_SITE = f"https://raw.githubusercontent.com/Awenbocc/med-vqa/{RAD_COMMIT}/data"
OSF_SITE = "https://files.osf.io/v1/resources/89kps/providers/osfstorage"
NLTK_SITE = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages"
GLOVE_SITES = ("https://nlp.stanford.edu/data", "https://downloads.cs.stanford.edu/nlp/data")
GLOVE_SUMS = "Embeddings.jl, Thinc and others"
PHOTOS = "each picture under its own Flickr licence; the number stands in the annotations"


def _coco(summary: str, path: str, size: int, sha256: str) -> Download:
    licence = CC_BY if path.startswith("annotations/") else PHOTOS
    sources = "vqa-v1, vqa-v2, karpathy, coco-captions" if "2014.zip" in path else "coco-captions"
    then = "vqa-v1, vqa-v2" if "test" in path else sources
    file = File(path.partition("/")[2], (f"{COCO_SITE}/{path}",), size, sha256, TFDS)
    return Download(f"COCO {summary}", licence, then, (file,))


def _vqa(version: str, *parts: str) -> tuple[File, ...]:
    names = [f"{version}{part}_mscoco.zip" for part in parts]
    return tuple(File(name, (f"{VQA_SITE}/{name}",)) for name in names)


def _glove(name: str, size: int, sha256: str) -> tuple[File, ...]:
    return (File(name, tuple(f"{site}/{name}" for site in GLOVE_SITES), size, sha256, GLOVE_SUMS),)


DOWNLOADS: dict[str, Download] = {
    "vqa-v2": Download(
        "VQA v2: questions, answers, balanced pairs",
        "CC BY 4.0",
        "vqa-v2, with coco-2014-train, coco-2014-val (and coco-2015-test) beside it",
        _vqa("v2_", *QUESTIONS, *ANSWERS, "Complementary_Pairs_Train", "Complementary_Pairs_Val"),
    ),
    "vqa-v1": Download(
        "VQA v1: questions (open-ended and multiple choice) and answers",
        "CC BY 4.0",
        "vqa-v1, with coco-2014-train, coco-2014-val (and coco-2015-test) beside it",
        _vqa("", *QUESTIONS, *ANSWERS),
    ),
    "karpathy": Download(
        "Karpathy's splits and captions of COCO, Flickr8k and Flickr30k",
        f"COCO: {CC_BY}; Flickr8k, Flickr30k: {FLICKR}",
        "karpathy, --option file=dataset_coco.json, with coco-2014-train and coco-2014-val",
        (
            File(
                "caption_datasets.zip",
                ("https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",),
                36_745_453,
                "4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817",
                TFDS,
            ),
        ),
    ),
    "coco-2014-annotations": _coco(
        "2014: captions, objects",
        "annotations/annotations_trainval2014.zip",
        252_872_794,
        "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    ),
    "coco-2014-train": _coco(
        "2014: 82,783 training pictures",
        "zips/train2014.zip",
        13_510_573_713,
        "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
    ),
    "coco-2014-val": _coco(
        "2014: 40,504 validation pictures",
        "zips/val2014.zip",
        6_645_013_297,
        "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
    ),
    "coco-2015-test": _coco(
        "2015: 81,434 test pictures, for VQA's test questions",
        "zips/test2015.zip",
        13_270_587_935,
        "1a2aa896b81140a850a78fa8bff07d455698d2abf364ff05721763458a8101ca",
    ),
    "coco-2017-annotations": _coco(
        "2017: captions, objects",
        "annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    ),
    "coco-2017-train": _coco(
        "2017: 118,287 training pictures",
        "zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
    ),
    "coco-2017-val": _coco(
        "2017: 5,000 validation pictures",
        "zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    ),
    "visual-genome": Download(
        "Visual Genome: questions and the list of pictures",
        "CC BY 4.0",
        "visual-genome, with visual-genome-pictures beside it",
        tuple(
            File(name, (f"{VG_SITE}/{name}",))
            for name in ("question_answers.json.zip", "image_data.json.zip")
        ),
    ),
    "visual-genome-pictures": Download(
        "Visual Genome: 108,077 pictures",
        PHOTOS,
        "visual-genome",
        tuple(
            File(name, (f"https://cs.stanford.edu/people/rak248/VG_100K_2/{name}",), size)
            for name, size in (("images.zip", 9_700_000_000), ("images2.zip", 5_500_000_000))
        ),
    ),
    "vqa-rad": Download(
        "VQA-RAD: questions in the widely used split, pictures from the makers' OSF page",
        "CC0 1.0",
        "vqa-rad",
        (
            File(
                "trainset.json",
                (f"{RAD_SITE}/trainset.json",),
                679_238,
                "3b0567673ae224b6489ca1bc4ce05cda642223d5cf4f17db8fbf7010c872e00f",
                "a copy of that commit, read by this project",
            ),
            File("testset.json", (f"{RAD_SITE}/testset.json",)),
            File(
                "VQA_RAD_Image_Folder.zip",
                (f"{OSF_SITE}/5b21453986d8510011c277bc/?zip=",),
                17_000_000,
                into="images",
                steady=False,
            ),
        ),
    ),
    "glove-6b": Download(
        "GloVe word vectors of 6 billion words: 50, 100, 200 and 300 numbers",
        "PDDL 1.0",
        "saccade train ... --set text.vectors=DIR/glove.6B.300d.txt",
        _glove(
            "glove.6B.zip",
            862_182_613,
            "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
        ),
    ),
    "glove-840b": Download(
        "GloVe word vectors of 840 billion words: 300 numbers",
        "PDDL 1.0",
        "saccade train ... --set text.vectors=DIR/glove.840B.300d.txt",
        _glove(
            "glove.840B.300d.zip",
            2_176_768_927,
            "c06db255e65095393609f19a4cfca20bf3a71e20cc53e892aafa490347e3849f",
        ),
    ),
    "wordnet": Download(
        "WordNet 3.0 as NLTK packs it, for WUPS",
        "WordNet licence (free, with its notice)",
        "saccade evaluate RUN --wordnet DIR/wordnet.zip",
        (
            File(
                "wordnet.zip",
                (f"{NLTK_SITE}/corpora/wordnet.zip",),
                10_775_600,
                "cbda5ea6eef7f36a97a43d4a75f85e07fccbb4f23657d27b4ccbc93e2646ab59",
                "several projects that pin it",
                unpacks=False,
            ),
        ),
    ),
    "flickr8k": Download(
        "Flickr8k: pictures and captions, on request",
        FLICKR,
        "flickr8k, or karpathy with dataset_flickr8k.json beside the pictures",
        steps=(
            "Ask for it: https://forms.illinois.edu/sec/1713398; the links come by e-mail.",
            "Unpack Flickr8k_Dataset.zip and Flickr8k_text.zip into DIR.",
            "For Karpathy's splits: saccade download karpathy --to DIR",
        ),
    ),
    "flickr30k": Download(
        "Flickr30k: pictures and captions, on request",
        FLICKR,
        "flickr30k, or karpathy with dataset_flickr30k.json beside the pictures",
        steps=(
            "Ask for it: http://shannon.cs.illinois.edu/DenotationGraph/ has the form.",
            "Unpack the pictures to DIR/flickr30k_images and results_20130124.token into DIR.",
        ),
    ),
    "gqa": Download(
        "GQA: questions and pictures",
        "annotations CC BY 4.0; pictures are Visual Genome's; read its page's terms",
        "gqa",
        steps=(
            "Read https://cs.stanford.edu/people/dorarad/gqa/download.html and take from there "
            "the questions (version 1.2) and the images.",
            "Unpack the questions into DIR, the pictures to DIR/images.",
        ),
    ),
    "daquar": Download(
        "DAQUAR: questions about NYU-Depth v2's pictures",
        "none stated: research; the pictures are NYU-Depth v2's",
        "daquar",
        steps=(
            "Search for DAQUAR, Visual Turing Challenge, at https://www.mpi-inf.mpg.de.",
            "Put qa.894.raw.{train,test}.txt into DIR, unpack nyu_depth_images.tar there.",
        ),
    ),
    "easy-vqa": Download(
        "easy-VQA: drawn shapes",
        "MIT",
        "easy-vqa, --root easy-VQA/easy_vqa/data",
        steps=("git clone https://github.com/vzhou842/easy-VQA",),
    ),
    "pitvqa": Download(
        "PitVQA: 25 videos of pituitary surgery, questions from public annotations",
        "text: none stated, ask the authors; videos: UCL's terms",
        "pitvqa",
        steps=(
            "Videos: https://doi.org/10.5522/04/26531686 (PitVis), under the terms there.",
            "Text: ask the authors, https://github.com/mobarakol/PitVQA; put QA (text files), or "
            "steps_csv and instruments_csv of PitVQA_Annotations, into DIR.",
            "saccade frames VIDEOS --out DIR/images",
        ),
    ),
    "endovis18-vqa": Download(
        "EndoVis-18-VQA: questions about robotic kidney surgery",
        CHALLENGE,
        "endovis18-vqa",
        steps=(
            "Pictures: join https://endovissub2018-roboticscenesegmentation.grand-challenge.org "
            "and put each sequence's left_frames to DIR/seq_N/left_frames.",
            "Questions: https://github.com/lalithjets/Surgical_VQA links them; put them to "
            "DIR/seq_N/vqa.",
        ),
    ),
    "cholec80-vqa": Download(
        "Cholec80-VQA: questions about gall bladder surgery",
        CHALLENGE,
        "cholec80-vqa",
        steps=(
            "Videos: http://camma.u-strasbg.fr/datasets has the request form of Cholec80.",
            "Questions: https://github.com/lalithjets/Surgical_VQA links them; put them to "
            "DIR/Classification, the frames to DIR/cropped_image/N.",
        ),
    ),
}
