"""Public sets that a person has to get: their makers ask for a form, or state terms to agree to.

Addresses and terms are as far as they could be looked up; `docs/data.md` says which could not.
"""

from saccade.data.downloadable import Download
from saccade.data.sources import CHALLENGE, CHOLEC80, FLICKR

PREPARE = "saccade prepare {} --root DIR --out DATA"
ASKED = "its makers give it to those who ask"

BY_HAND: dict[str, Download] = {
    "flickr8k": Download(
        "Flickr8k: pictures and captions, on request",
        FLICKR,
        PREPARE.format("flickr8k"),
        steps=(
            "Ask for it: https://forms.illinois.edu/sec/1713398; the links come by e-mail.",
            "Unpack Flickr8k_Dataset.zip and Flickr8k_text.zip into DIR.",
            "For Karpathy's splits: saccade download karpathy --to DIR, and later prepare karpathy "
            "--option file=dataset_flickr8k.json",
        ),
        why=ASKED,
    ),
    "flickr30k": Download(
        "Flickr30k: pictures and captions, on request",
        FLICKR,
        PREPARE.format("flickr30k"),
        steps=(
            "Ask for it: https://forms.illinois.edu/sec/229675; about it: "
            "http://shannon.cs.illinois.edu/DenotationGraph/",
            "Unpack the pictures to DIR/flickr30k_images and results_20130124.token into DIR.",
            "For Karpathy's splits: saccade download karpathy --to DIR, and later prepare karpathy "
            "--option file=dataset_flickr30k.json",
        ),
        why=ASKED,
    ),
    "gqa": Download(
        "GQA: questions and pictures",
        "questions: CC BY 4.0 according to others, its page counts; pictures are Visual Genome's",
        PREPARE.format("gqa"),
        steps=(
            "Read the terms: https://cs.stanford.edu/people/dorarad/gqa/download.html",
            "Fetch https://downloads.cs.stanford.edu/nlp/data/gqa/questions1.2.zip (1.4 GB) and "
            "unpack it into DIR.",
            "Fetch https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip (21.8 GB) and unpack "
            "it into DIR, so that DIR/images holds the pictures.",
        ),
        why="it has terms of its own",
    ),
    "daquar": Download(
        "DAQUAR: questions about NYU-Depth v2's pictures",
        "none stated: research; the pictures are NYU-Depth v2's",
        PREPARE.format("daquar"),
        steps=(
            "Its page: https://www.mpi-inf.mpg.de/departments/computer-vision-and-multimodal-"
            "computing/research/vision-and-language/visual-turing-challenge/",
            "Put qa.894.raw.train.txt and qa.894.raw.test.txt (or the two of 37) into DIR.",
            "Fetch http://datasets.d2.mpi-inf.mpg.de/mateusz14visual-turing/nyu_depth_images.tar "
            "and unpack it into DIR, so that DIR/nyu_depth_images holds the pictures.",
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
            "Pictures: join https://endovissub2018-roboticscenesegmentation.grand-challenge.org "
            "and put each sequence's left_frames to DIR/seq_N/left_frames.",
            "Questions: https://github.com/lalithjets/Surgical_VQA links them (EndoVis-18-VQA Q&A "
            "pair annotation); put them to DIR/seq_N/vqa.",
        ),
        why="its pictures are a challenge's, which one has to join",
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
