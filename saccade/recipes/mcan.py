"""Recipes of MCAN."""

from saccade.config import Adam
from saccade.models.catalogue import McanConfig
from saccade.recipes.joint_embedding import JOINT_EMBEDDING_OPENVQA
from saccade.recipes.shapes import small_vqa

MCAN = JOINT_EMBEDDING_OPENVQA.replace(
    about="""Yu et al. 2019, MCAN-small on VQA v2 as openvqa trains it. Published: validation
    67.17 (yes/no 84.8, number 49.3, other 58.5), test-dev 70.33; on 10 to 100 detected boxes, with
    word vectors from outside. Expect about 6,900 steps an epoch, 13 epochs; a day on one GPU.""",
    model=McanConfig(),
    train=JOINT_EMBEDDING_OPENVQA.train.replace(
        batch_size=64,
        optimiser=Adam(learning_rate=1e-4, betas=(0.9, 0.98), epsilon=1e-9),
        clip_norm=None,
    ),
)

SMALL = small_vqa(MCAN, "MCAN", learning_rate=1e-3, epochs=16, time="five minutes")
