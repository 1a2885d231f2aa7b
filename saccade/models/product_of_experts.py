"""Product of experts for VQA: a classifier of the question and one of question and image.

Each expert scores all answers, and the scores (log-probabilities up to a constant) are added, which
multiplies what they believe. Hinton 2002, "Training products of experts"; as a way to keep what the
words alone tell apart from what the image tells: Clark et al. 2019, arXiv:1909.03683, section 3.2
("bias product").

The question's expert is a bag of words, of pairs of neighbouring words and of the whole question,
so that the commonest questions have an answer prior of their own. The other expert attends to the
regions once; at the start it attends to all alike and scores nothing, so that the model begins as
its prior and the image has to earn its part. Both learn together: the loss of the sum, and that of
the prior alone (`VqaOutput.prior_logits`). `image_share` is 1, or 0 where validation shows that the
image adds nothing; then the prior answers alone. Training sees both.

How the prior takes part is `config.prior`:
- "product": the scores are added, in training and after it. Differs from the paper: the prior is
  not left out in the end, since on data like the training data it is right more often than not.
- "rubi": Cadene et al. 2019, arXiv:1906.10169, section 3: while training, the image's scores are
  multiplied by the sigmoid of the prior's, and a further layer makes the prior's own answer of
  these. Differs: the prior has its own encoder of questions, which no gradient needs to be kept
  from.
- "lmh": Clark et al. 2019, section 3.2 ("learned-mixin +H"): while training, the prior's scores are
  added with a weight g for each question, softplus of a linear layer; the loss has the entropy of
  the prior so weighted. The prior is fixed for that loss; differs: it learns at the same time.
With "rubi" and "lmh" the image's expert answers alone after training, as published; where
`image_share` is 0, the prior does.

Shapes: B questions, I images, R regions, T words, D numbers per region, E word width, H hidden,
A answers, S slots of the tables.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.data.batch import Sizes, VqaBatch, VqaOutput
from saccade.models.catalogue import ProductOfExpertsConfig
from saccade.models.layers import (
    RegionNorm,
    attend,
    masked_softmax,
    real_words,
    weigh_words,
)

PRIMES = (1_000_003, 998_244_353)
"""Factors that spread pairs and questions over their slots."""


class ProductOfExperts(nn.Module):
    """VQA by the sum of an answer prior's scores and an attention classifier's."""

    image_share: Tensor

    def __init__(self, config: ProductOfExpertsConfig, sizes: Sizes) -> None:
        super().__init__()
        self.prior = QuestionBag(config, sizes)
        self.prior_dropout = nn.Dropout(config.prior_dropout)
        self.prior_output = nn.Linear(config.embedding, sizes.answers)
        self.question = QuestionBag(config, sizes)
        self.normalise = RegionNorm(sizes.region_dim, affine=False)
        self.attention_region = nn.Linear(sizes.region_dim, config.attention)
        self.attention_question = nn.Linear(config.embedding, config.attention)
        self.attention_score = nn.Linear(config.attention, 1)
        self.project_question = nn.Linear(config.embedding, config.hidden)
        # Without biases: images that are all alike, and so 0 behind the norm, score nothing.
        self.project_image = nn.Linear(sizes.region_dim, config.hidden, bias=False)
        self.image_dropout = nn.Dropout(config.image_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, sizes.answers, bias=False)
        self.register_buffer("image_share", torch.ones(()))
        self.config = config
        if config.prior == "rubi":
            self.prior_answer = nn.Linear(sizes.answers, sizes.answers)
        elif config.prior == "lmh":
            self.prior_weight = nn.Linear(config.hidden, 1)
        for layer in (self.prior_output, self.attention_score, self.output):
            for weight in layer.parameters():
                nn.init.zeros_(weight)

    @property
    def embed(self) -> nn.EmbeddingBag:
        """The words as the image's expert reads them: word vectors from a file begin here."""
        return self.question.embed

    def forward(self, batch: VqaBatch) -> VqaOutput:
        prior = self.prior(batch.question, batch.question_length)  # (B, E)
        prior_logits = self.prior_output(self.prior_dropout(prior))  # (B, A)
        query = self.question(batch.question, batch.question_length)  # (B, E)
        regions = self.normalise(batch.regions, batch.region_mask)  # (I, R, D)
        keys = self.attention_region(regions)[batch.image]  # (B, R, .)
        joint = torch.tanh(keys + self.attention_question(query)[:, None])
        scores = self.attention_score(joint).squeeze(-1)  # (B, R)
        weights = masked_softmax(scores, batch.region_mask[batch.image])[:, None]  # (B, 1, R)
        attended = attend(weights, regions, batch.image).squeeze(1)  # (B, D)
        attended = functional.normalize(attended) * attended.shape[1] ** 0.5
        image = torch.relu(self.project_image(self.image_dropout(attended)))  # (B, H)
        hidden = image * torch.relu(self.project_question(query))  # (B, H)
        logits = self.output(self.dropout(hidden))  # (B, A)
        kind = self.config.prior
        answer = self.prior_answer(prior_logits) if kind == "rubi" else prior_logits
        if not self.training:
            both = prior_logits + logits if kind == "product" else logits
            return VqaOutput(torch.where(self.image_share > 0, both, answer), weights, answer)
        if kind == "product":
            return VqaOutput(prior_logits + logits, weights, answer)
        if kind == "rubi":
            return VqaOutput(logits * prior_logits.sigmoid(), weights, answer)
        added = functional.softplus(self.prior_weight(hidden)) * prior_logits.detach()
        entropy_weight = self.config.entropy_weight
        return VqaOutput(logits + added, weights, answer, added, entropy_weight)


class QuestionBag(nn.Module):
    """Mean of the vectors of a question's words, of its pairs of words, and of its whole."""

    def __init__(self, config: ProductOfExpertsConfig, sizes: Sizes) -> None:
        super().__init__()
        self.slots, self.words = config.slots, sizes.words
        # Pairs and whole questions that training never met have the vector that they begin with.
        self.embed = nn.EmbeddingBag(sizes.words + config.slots, config.embedding, mode="sum")
        nn.init.normal_(self.embed.weight, std=0.1)
        nn.init.zeros_(self.embed.weight.data[sizes.words :])

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """`question (B, T)`, `length (B,)` -> (B, E), at least 0."""
        real = real_words(length, question.shape[1])  # (B, T)
        words = question.masked_fill(~real, 0)
        edge = words.new_full((words.shape[0], 1), self.words)  # stands at both ends of a question
        ended = torch.cat([question.masked_fill(~real, self.words), edge], dim=1)  # (B, T + 1)
        pairs = torch.cat([edge, ended[:, :-1]], dim=1) * PRIMES[0] + ended
        place = torch.arange(1, words.shape[1] + 1, device=words.device)
        whole = (words * real * (place * PRIMES[1] % PRIMES[0])).sum(dim=1, keepdim=True)
        hashed = torch.cat([pairs, whole + 1], dim=1) % self.slots + self.words  # (B, T + 2)
        here = torch.cat([real, real_words(length + 1, words.shape[1] + 1), edge >= 0], dim=1)
        share = here.to(self.embed.weight.dtype) / here.sum(dim=1, keepdim=True)
        ids = torch.cat([words, hashed], dim=1)  # (B, 2 T + 2)
        return torch.relu(weigh_words(self.embed, ids, share))
