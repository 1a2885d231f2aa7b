"""Public sets that `saccade download` fetches, and steps to get those that it may not fetch.

What is fetched comes from the makers' own addresses, by the person who runs the command, under the
licence that stands beside it. A set is listed with steps instead of files where its makers ask for
a form, state terms to agree to, or state no licence.

SHA-256 values are those that others published, never made up: `sha256_from` says who. Where none
is known, the first download writes down what came, and later ones must be the same.
"""

from typing import NamedTuple

from saccade.datasets.catalogue import CC_BY, CHALLENGE, CHOLEC80, FLICKR


class File(NamedTuple):
    """A file of a set."""

    name: str
    urls: tuple[str, ...]
    """Tried in turn."""
    bytes: int | None = None
    """Exact where the SHA-256 is known, otherwise about; None where it is unknown."""
    sha256: str | None = None
    sha256_from: str = ""
    into: str = ""
    """The folder below the target that an image archive is unpacked into."""
    unpacks: bool = True
    """True where a .zip or .tar is unpacked."""
    steady: bool = True
    """False where the server packs it anew each time, so that its bytes differ."""


class Download(NamedTuple):
    """A line of the table: files to fetch, or steps for a person. `DIR` in words stands for the
    folder that they go to.
    """

    summary: str
    licence: str
    then: str
    """The command that reads it, and what must lie beside it."""
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()
    why: str = ""
    """The reason why there are steps: a part of a sentence."""


# Public sets that a person has to get: their makers ask for a form, or state terms to agree to.

PREPARE = "saccade prepare {} --root DIR --out DATA"
ASKED = "its makers give it to those who ask"


def _flickr(name: str, ask: str, unpack: str) -> Download:
    source = name.lower()
    splits = (
        "For Karpathy's splits: saccade download karpathy --to DIR, and later prepare karpathy "
        f"--option file=dataset_{source}.json"
    )
    about, then = f"{name}: images and captions, on request", PREPARE.format(source)
    return Download(about, FLICKR, then, steps=(ask, unpack, splits), why=ASKED)


BY_HAND: dict[str, Download] = {
    "flickr8k": _flickr(
        "Flickr8k",
        "Ask for it: https://forms.illinois.edu/sec/1713398; the links come by e-mail.",
        "Unpack Flickr8k_Dataset.zip and Flickr8k_text.zip into DIR.",
    ),
    "flickr30k": _flickr(
        "Flickr30k",
        "Ask for it: https://forms.illinois.edu/sec/229675; about it: "
        "http://shannon.cs.illinois.edu/DenotationGraph/",
        "Unpack the images to DIR/flickr30k_images and results_20130124.token into DIR.",
    ),
    "gqa": Download(
        "GQA: questions and images",
        "questions: CC BY 4.0 according to others, its page counts; images are Visual Genome's",
        PREPARE.format("gqa"),
        steps=(
            "Read the terms: https://cs.stanford.edu/people/dorarad/gqa/download.html",
            "Fetch https://downloads.cs.stanford.edu/nlp/data/gqa/questions1.2.zip (1.4 GB) and "
            "unpack it into DIR.",
            "Fetch https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip (21.8 GB) and unpack "
            "it into DIR, so that DIR/images holds the images.",
        ),
        why="it has terms of its own",
    ),
    "daquar": Download(
        "DAQUAR: questions about NYU-Depth v2's images",
        "none stated: research; the images are NYU-Depth v2's",
        PREPARE.format("daquar"),
        steps=(
            "Its page: https://www.mpi-inf.mpg.de/departments/computer-vision-and-multimodal-"
            "computing/research/vision-and-language/visual-turing-challenge/",
            "Put qa.894.raw.train.txt and qa.894.raw.test.txt (or the two of 37) into DIR.",
            "Fetch http://datasets.d2.mpi-inf.mpg.de/mateusz14visual-turing/nyu_depth_images.tar "
            "and unpack it into DIR, so that DIR/nyu_depth_images holds the images.",
        ),
        why="no licence is stated",
    ),
    "easy-vqa": Download(
        "easy-VQA: drawn shapes",
        "MIT",
        "saccade prepare easy-vqa --root DIR/easy-VQA/easy_vqa/data --out DATA",
        steps=("git clone https://github.com/vzhou842/easy-VQA DIR/easy-VQA",),
        why="it is a git repository",
    ),
    "pitvqa": Download(
        "PitVQA: 25 videos of pituitary surgery, questions from public annotations",
        "as UCL's repository states, doi.org/10.5522/04/27004666; the code's repository: none",
        PREPARE.format("pitvqa"),
        steps=(
            "Questions and frames: https://doi.org/10.5522/04/27004666, under the terms there. Put "
            "the questions to DIR/QA/video_01/00042.txt ..., the frames to "
            "DIR/images/video_01/00042.png ...",
            "Or make both: the videos of https://doi.org/10.5522/04/26531686 (PitVis), under the "
            "terms there, with saccade frames VIDEOS --out DIR/images, and steps_csv and "
            "instruments_csv of https://github.com/mobarakol/PitVQA_Annotations in DIR.",
        ),
        why="it has terms of its own",
    ),
    "endovis18-vqa": Download(
        "EndoVis-18-VQA: questions about robotic kidney surgery",
        CHALLENGE,
        PREPARE.format("endovis18-vqa"),
        steps=(
            "Images: join https://endovissub2018-roboticscenesegmentation.grand-challenge.org "
            "and put each sequence's left_frames to DIR/seq_N/left_frames.",
            "Questions: https://github.com/lalithjets/Surgical_VQA links them (EndoVis-18-VQA Q&A "
            "pair annotation); put them to DIR/seq_N/vqa.",
        ),
        why="its images are a challenge's, which one has to join",
    ),
    "cholec80-vqa": Download(
        "Cholec80-VQA: questions about gall bladder surgery",
        CHOLEC80,
        PREPARE.format("cholec80-vqa"),
        steps=(
            "Videos: http://camma.u-strasbg.fr/datasets has the request form of Cholec80.",
            "Questions: https://github.com/lalithjets/Surgical_VQA links them (Cholec80-VQA Q&A "
            "pair annotation); put them to DIR/Classification, the frames to "
            "DIR/cropped_image/N.",
        ),
        why=ASKED,
    ),
}


TFDS = "TensorFlow Datasets, url_checksums/coco_captions.txt"
COCO_SITE = "http://images.cocodataset.org"  # its https certificate is not of that name
VQA_SITES = (
    "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa",
    "https://cvmlp.s3.amazonaws.com/vqa/mscoco/vqa",  # the same by its other name
)
VG_SITE = "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset"
VG_IMAGES = "https://cs.stanford.edu/people/rak248/VG_100K_2"
RAD_COMMIT = "0cca6811e38cf54aff6a7cce3442296d07875e64"
RAD_SITE = f"https://raw.githubusercontent.com/Awenbocc/med-vqa/{RAD_COMMIT}/data"
OSF_SITE = "https://files.osf.io/v1/resources/89kps/providers/osfstorage"
NLTK_SITE = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages"
GLOVE_SITES = ("https://nlp.stanford.edu/data", "https://downloads.cs.stanford.edu/nlp/data")
GLOVE_SUMS = "Embeddings.jl, Thinc and others"
PARLAI = "ParlAI, parlai/tasks/{}/build.py"
KARPATHY_SITE = "https://cs.stanford.edu/people/karpathy/deepimagesent"
PHOTOS = "each image under its own Flickr licence; the number stands in the annotations"

PUBLISHED = """
05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e 7239401 v2_Questions_Train_mscoco.zip
e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a 3494929 v2_Questions_Val_mscoco.zip
982e2e687a86514b78ea83af356d151976c5e3fb4168a29ca543610574082ad7 - v2_Questions_Test_mscoco.zip
fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853 21708861 v2_Annotations_Train_mscoco.zip
0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e 10518930 v2_Annotations_Val_mscoco.zip
c3b2bb6155528eeae95e0a914af394d6f0d98f8f2b51012c44b27778e1a96707 - Questions_Train_mscoco.zip
e8839be5de2d711989bf0adc82e6717d1ce307d27c9b1dfb0abf413b79a5d4d0 - Questions_Val_mscoco.zip
bd080c297fc863bf8258caa4864d3b5afab29373375a6637f8546338291e28c0 - Questions_Test_mscoco.zip
a5f5f97c162a4ad44896be08bac6deaa258aa3fec281afcc84fe85ae44cb1ebc - Annotations_Train_mscoco.zip
29377c35186d90aeab3e61bdad890f51215d1f88b700bd22ef19004d73bf284f - Annotations_Val_mscoco.zip
4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817 36745453 caption_datasets.zip
031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009 252872794 annotations_trainval2014.zip
ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775 13510573713 train2014.zip
fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0 6645013297 val2014.zip
1a2aa896b81140a850a78fa8bff07d455698d2abf364ff05721763458a8101ca 13270587935 test2015.zip
113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268 252907541 annotations_trainval2017.zip
69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929 19336861798 train2017.zip
4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05 815585330 val2017.zip
3b0567673ae224b6489ca1bc4ce05cda642223d5cf4f17db8fbf7010c872e00f 679238 trainset.json
617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb 862182613 glove.6B.zip
c06db255e65095393609f19a4cfca20bf3a71e20cc53e892aafa490347e3849f 2176768927 glove.840B.300d.zip
cbda5ea6eef7f36a97a43d4a75f85e07fccbb4f23657d27b4ccbc93e2646ab59 10775600 wordnet.zip
"""  # noqa: E501 - as `sha256sum` writes it, with the size between
"""SHA-256, bytes (- where unknown) and name of the files whose SHA-256 others published."""
SUMS = {name: (sha256, size) for sha256, size, name in map(str.split, PUBLISHED.split("\n")[1:-1])}


def _file(sites: tuple[str, ...], path: str, whose: str) -> File:
    """A file of `PUBLISHED`; `whose` sum it is."""
    name = path.rpartition("/")[2]
    sha256, size = SUMS[name]
    urls = tuple(f"{site}/{path}" for site in sites)
    return File(name, urls, None if size == "-" else int(size), sha256, whose)


def _unknown(sites: tuple[str, ...], name: str, size: int | None = None) -> File:
    """A file whose SHA-256 nobody published."""
    return File(name, tuple(f"{site}/{name}" for site in sites), size)


def _coco(summary: str, path: str) -> Download:
    files = (_file((COCO_SITE,), path, TFDS),)
    if path.startswith("annotations/"):
        return Download(f"COCO {summary}", CC_BY, PREPARE.format("coco-captions"), files)
    readers = "vqa-v1, vqa-v2, karpathy and coco-captions" if "2014" in path else "coco-captions"
    then = IMAGES.format("vqa-v1 and vqa-v2" if "test" in path else readers)
    return Download(f"COCO {summary}", PHOTOS, then, files)


def _vqa(version: str, *parts: str) -> tuple[File, ...]:
    return tuple(_file(VQA_SITES, f"{part}_mscoco.zip", PARLAI.format(version)) for part in parts)


def _glove(summary: str, name: str, vectors: str) -> Download:
    then = f"saccade train ... --set text.vectors=DIR/{vectors}"
    files = (_file(GLOVE_SITES, name, GLOVE_SUMS),)
    return Download(f"GloVe word vectors of {summary} numbers", "PDDL 1.0", then, files)


VQA_THEN = f"{PREPARE}; its images: coco-2014-train, coco-2014-val, and coco-2015-test for test"
IMAGES = "images of {}: fetch those to DIR too"

DOWNLOADS: dict[str, Download] = {
    "vqa-v2": Download(
        "VQA v2: questions, answers, complementary pairs",
        "CC BY 4.0",
        VQA_THEN.format("vqa-v2"),
        (
            *_vqa("vqa_v2", "v2_Questions_Train", "v2_Questions_Val", "v2_Questions_Test"),
            *_vqa("vqa_v2", "v2_Annotations_Train", "v2_Annotations_Val"),
            _unknown(VQA_SITES, "v2_Complementary_Pairs_Train_mscoco.zip"),
            _unknown(VQA_SITES, "v2_Complementary_Pairs_Val_mscoco.zip"),
        ),
    ),
    "vqa-v1": Download(
        "VQA v1: questions (open-ended and multiple choice) and answers",
        "CC BY 4.0",
        VQA_THEN.format("vqa-v1"),
        (
            *_vqa("vqa_v1", "Questions_Train", "Questions_Val", "Questions_Test"),
            *_vqa("vqa_v1", "Annotations_Train", "Annotations_Val"),
        ),
    ),
    "karpathy": Download(
        "Karpathy's splits and captions of COCO, Flickr8k and Flickr30k",
        f"COCO: {CC_BY}; Flickr8k, Flickr30k: {FLICKR}",
        f"{PREPARE.format('karpathy')} --option file=dataset_coco.json; its images: "
        "coco-2014-train and coco-2014-val",
        (_file((KARPATHY_SITE,), "caption_datasets.zip", TFDS),),
    ),
    "coco-2014-annotations": _coco(
        "2014: captions, objects", "annotations/annotations_trainval2014.zip"
    ),
    "coco-2014-train": _coco("2014: 82,783 training images", "zips/train2014.zip"),
    "coco-2014-val": _coco("2014: 40,504 validation images", "zips/val2014.zip"),
    "coco-2015-test": _coco(
        "2015: 81,434 test images, for VQA's test questions", "zips/test2015.zip"
    ),
    "coco-2017-annotations": _coco(
        "2017: captions, objects", "annotations/annotations_trainval2017.zip"
    ),
    "coco-2017-train": _coco("2017: 118,287 training images", "zips/train2017.zip"),
    "coco-2017-val": _coco("2017: 5,000 validation images", "zips/val2017.zip"),
    "visual-genome": Download(
        "Visual Genome: questions and the list of images",
        "CC BY 4.0",
        f"{PREPARE.format('visual-genome')}; its images: visual-genome-images",
        (
            _unknown((VG_SITE,), "question_answers.json.zip", 24_776_315),
            _unknown((VG_SITE,), "image_data.json.zip", 1_780_854),
        ),
    ),
    "visual-genome-images": Download(
        "Visual Genome: 108,077 images",
        PHOTOS,
        IMAGES.format("visual-genome"),
        (
            _unknown((VG_IMAGES,), "images.zip", 9_731_705_982),
            _unknown((VG_IMAGES,), "images2.zip", 5_471_658_058),
        ),
    ),
    "vqa-rad": Download(
        "VQA-RAD: questions in the widely used split, images from the makers' OSF page",
        "CC0 1.0",
        PREPARE.format("vqa-rad"),
        (
            _file((RAD_SITE,), "trainset.json", "a copy of that commit, read by this project"),
            _unknown((RAD_SITE,), "testset.json"),
            File(
                "VQA_RAD_Image_Folder.zip",
                (f"{OSF_SITE}/5b21453986d8510011c277bc/?zip=",),
                17_000_000,
                into="images",
                steady=False,
            ),
        ),
    ),
    "glove-6b": _glove(
        "6 billion words: 50, 100, 200 and 300", "glove.6B.zip", "glove.6B.300d.txt"
    ),
    "glove-840b": _glove("840 billion words: 300", "glove.840B.300d.zip", "glove.840B.300d.txt"),
    "wordnet": Download(
        "WordNet 3.0 as NLTK packs it, for WUPS",
        "WordNet licence (free, with its notice)",
        "saccade evaluate RUN --wordnet DIR/wordnet.zip",
        (
            _file((NLTK_SITE,), "corpora/wordnet.zip", "several projects that pin it")._replace(
                unpacks=False
            ),
        ),
    ),
    **BY_HAND,
}
