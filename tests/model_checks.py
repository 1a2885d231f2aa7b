"""What must hold for every variant of a VQA model, the ones that stand in no catalogue too."""

from dataclasses import replace

import torch

from saccade.data.batch import Sizes, VqaBatch

SIZES = Sizes(words=11, region_dim=5, answers=7, grid=None, regions=6)


def questions(pad_words: int = 0, pad_regions: int = 0) -> VqaBatch:
    """Five questions about two images, in double precision; rubbish stands in all padding."""
    draw = torch.Generator().manual_seed(0)
    length = torch.tensor([4, 2, 3, 1, 4])
    words = torch.randint(1, SIZES.words, (5, 9), generator=draw)[:, : 4 + pad_words]
    words[0, 2] = words[0, 1]  # a word said twice
    regions = torch.randn(2, 6, 5, generator=draw, dtype=torch.float64)
    return VqaBatch(
        regions=torch.nn.functional.pad(regions, (0, 0, 0, pad_regions), value=9.0),
        region_mask=torch.arange(6 + pad_regions).repeat(2, 1) < 6,
        image=torch.tensor([0, 1, 1, 0, 1]),
        question=words,
        question_length=length,
        answers=torch.tensor([[1, 0], [2, 3], [3, 0], [4, 0], [5, 0]]),
        answer_weights=torch.tensor([[1.0, 0.0], [0.6, 0.4], [0.9, 0.0], [1.0, 0.0], [1.0, 0.0]]),
    )


def per_question(batch: VqaBatch) -> torch.Tensor:
    """Images as published codes take them: one copy for each question (B, R, D)."""
    return batch.regions[batch.image]


def soft_loss(model: torch.nn.Module, batch: VqaBatch) -> torch.Tensor:
    """Cross-entropy with shares of people as targets."""
    log_p = model(batch).logits.log_softmax(dim=1).gather(1, batch.answers)
    return -(log_p * batch.answer_weights).sum(dim=1).mean()


def check_padding_changes_nothing(model: torch.nn.Module) -> None:
    """More words of rubbish behind a question and more masked regions: the same answers."""
    model = model.double().eval()
    plain, padded = model(questions()), model(questions(pad_words=3, pad_regions=2))
    torch.testing.assert_close(plain.logits, padded.logits)
    if plain.attention is not None:
        torch.testing.assert_close(plain.attention, padded.attention[..., :6])
        assert padded.attention[..., 6:].abs().sum() == 0


def check_examples_do_not_see_each_other(model: torch.nn.Module) -> None:
    """A question alone, with its own copy of its image, is answered as among others."""
    model, batch = model.double().eval(), questions()
    together = model(batch)
    for row in range(len(batch)):
        alone = model(
            replace(
                batch,
                regions=batch.regions[batch.image[row : row + 1]],
                region_mask=batch.region_mask[batch.image[row : row + 1]],
                image=torch.zeros(1, dtype=torch.int64),
                question=batch.question[row : row + 1, : batch.question_length[row]],
                question_length=batch.question_length[row : row + 1],
            )
        )
        torch.testing.assert_close(alone.logits[0], together.logits[row])


def check_attention_sums_to_one(model: torch.nn.Module) -> None:
    """Every map is a distribution over regions."""
    attention = model.double().eval()(questions()).attention
    assert attention.shape[0] == 5
    assert attention.shape[2] == 6
    torch.testing.assert_close(attention.sum(dim=2), torch.ones_like(attention[..., 0]))
    assert attention.std(dim=2).min() > 0, "a uniform map is no look"


def check_every_weight_learns(model: torch.nn.Module) -> None:
    """No parameter is left out of the computation, and only a softmax's own bias is idle."""
    model, batch = model.double().train(), questions()
    for parameter in model.parameters():  # not as small as some papers begin
        if parameter.ndim:  # but lengths of weight normalisation must stay positive
            torch.nn.init.normal_(parameter, std=0.3)
    soft_loss(model, batch).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    idle = [name for name, p in model.named_parameters() if p.grad.abs().max() < 1e-12]
    assert all(name.endswith("bias") for name in idle), idle


def check_it_learns_by_heart(model: torch.nn.Module) -> None:
    """After a few steps on five questions the loss is near what people's disagreement leaves."""
    model, batch = model.train(), questions()
    batch.regions = batch.regions.float()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = last = soft_loss(model, batch).item()
    for _ in range(200):
        optimiser.zero_grad()
        loss = soft_loss(model, batch)
        loss.backward()
        optimiser.step()
        last = loss.item()
        if last < 0.3 * first:
            break
    assert last < 0.3 * first


CHECKS = [
    check_padding_changes_nothing,
    check_examples_do_not_see_each_other,
    check_every_weight_learns,
    check_it_learns_by_heart,
]
"""All but the one for models that attend."""
