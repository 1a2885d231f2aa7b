"""An encoder that learns in front of any model, and the store of pixels that it looks at."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn.modules.batchnorm import _BatchNorm
from typer.testing import CliRunner

import saccade
from saccade.cli.app import app
from saccade.config import Recipe, WeightRule, change
from saccade.core.errors import BadConfig, BadRun, BadStore, SaccadeError
from saccade.core.tables import load_object
from saccade.core.tensors import load_tensors
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.evaluation.attention_grounding import measure_attention_grounding, read_boxes
from saccade.evaluation.evaluate import evaluate
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble, choose_store
from saccade.features.backbones import choose_backbone, preprocessing_for
from saccade.features.extract import extract
from saccade.features.finetuning import is_folded, unfold_batch_norm, weights_from
from saccade.features.images import read_image
from saccade.features.preprocessing import normalise, resize_and_crop
from saccade.features.statistics import IMAGE
from saccade.features.store import FeatureStore
from saccade.inference.model import build, load_model
from saccade.models.catalogue import MODELS, EncoderConfig
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.objectives import loss_for
from saccade.training.optim import (
    ScheduleState,
    constrain_weights,
    make_optimiser,
    set_learning_rate,
)
from saccade.training.train import train, training_of
from tests.worlds import make_world, write_pixels

NET = "timm:test_resnet"
QUIET = Console(quiet=True)
LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Forty images of four colours, as pixels, with questions and captions."""
    folder = make_world(tmp_path_factory.mktemp("pixels") / "data")
    write_pixels(folder)
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Real image files, as pixels and as features of the same network and preprocessing."""
    root = tmp_path_factory.mktemp("shapes")
    make_shapes(root / "shapes", images={"train": 24, "val": 6, "test": 6}, size=96)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    same = {"size": 64, "resize": "squash"}
    extract(data, NET, weights="random", name="seen", **same)
    half = (0.5, 0.5, 0.5)
    extract(data, "pixels", name="raw", mean=half, std=half, interpolation="bilinear", **same)
    return root


def recipe_for(name: str, *changes: str, **encoder) -> Recipe:
    recipe = RECIPES[f"{name}-small"]
    config = EncoderConfig(**{"backbone": NET, "weights": "random", "trains_from": "0", **encoder})
    recipe = recipe.model_copy(update={"encoder": config})
    for assignment in ("train.batch_size=16", "train.epochs=2", *changes):
        recipe = change(recipe, assignment)
    return recipe


def made(
    folder, name="show-attend-tell", *, seed=0, **encoder
) -> tuple[EncodedModel, object, object]:
    """A model behind its encoder, a batch for it, and its loss."""
    recipe = recipe_for(name, **encoder)
    experiment = assemble(recipe, folder)
    torch.manual_seed(seed)
    model = build(recipe, experiment.sizes, experiment.store.header.preprocessing)
    batch = TASKS[recipe.task].examples(experiment, "train").batch(np.arange(12)).to("cpu")
    return model, batch, loss_for(recipe)


def learning(model: EncodedModel) -> set[str]:
    """First parts of the names of the encoder's weights that get a gradient."""
    found = {n for n, p in model.encoder.named_parameters() if p.grad is not None}
    return {name.split(".")[1] for name in found}


def statistics(model: EncodedModel) -> list[torch.Tensor]:
    norms = [layer for layer in model.encoder.modules() if isinstance(layer, _BatchNorm)]
    return [value.clone() for layer in norms for value in (layer.running_mean, layer.running_var)]


def differ(some, others) -> list[bool]:
    return [not torch.equal(one, other) for one, other in zip(some, others, strict=True)]


class TestTheStore:
    def test_it_holds_the_very_pixels(self, shapes):
        folder = DataFolder(shapes / "data")
        store = FeatureStore.open(folder.store_path("raw"), images=folder.images())
        header = store.header
        assert (header.dtype, header.grid, header.dim) == ("uint8", (64, 64), 3)
        for image_record in folder.images()[::7]:
            image = read_image(folder.image_root / image_record.file)
            wanted = resize_and_crop(image, header.preprocessing).permute(1, 2, 0).numpy()
            regions, mask = store.read(store.rows([image_record.id]))
            assert mask.all()
            assert regions.dtype == np.uint8
            np.testing.assert_array_equal(regions[0].reshape(64, 64, 3), wanted)
        store.verify()
        assert not (store.path / "backbone.safetensors").exists()

    def test_its_size_is_known_before(self, shapes, capsys):
        path = DataFolder(shapes / "data").store_path("raw")
        header = FeatureStore.open(path).header
        assert header.nbytes() == 36 * (64 * 64 * 3 + 4 + 8 + IMAGE.itemsize)
        arrays = sum(np.load(path / f"{name}.npy").nbytes for name in header.columns())
        assert arrays == header.nbytes()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"dtype": "float32"}, "always uint8"),
            ({"weights": "random"}, "neither weights nor options"),
            ({"options": {"output_stride": 16}}, "neither weights nor options"),
        ],
    )
    def test_what_only_networks_have_is_refused(self, shapes, settings, message):
        with pytest.raises(BadConfig, match=message):
            extract(shapes / "data", "pixels", name="no", **settings)
        with pytest.raises(BadConfig, match="no backbone 'pixels:x'"):
            choose_backbone("pixels:x")

    def test_its_kind_and_the_recipes_must_agree(self, shapes):
        folder = DataFolder(shapes / "data")
        fine, plain = recipe_for("show-attend-tell"), RECIPES["show-attend-tell-small"]
        assert choose_store(fine, folder, None).name == "raw"
        assert choose_store(plain, folder, None).name == "seen"
        with pytest.raises(BadStore, match=r"has no encoder.*--backbone timm:resnet18"):
            choose_store(plain, folder, "raw")
        with pytest.raises(BadStore, match=r"has an encoder.*--backbone pixels --size 224"):
            choose_store(fine, folder, "seen")

    def test_a_folder_with_the_other_kind_alone(self, world, tmp_path):
        with pytest.raises(BadStore, match=r"2 stores of pixels.*pixels, twin"):
            choose_store(recipe_for("show-attend-tell"), self.twins(tmp_path / "two"), None)
        folder = make_world(tmp_path / "data")
        with pytest.raises(BadStore, match=r"has an encoder.*extract .* --backbone pixels"):
            assemble(recipe_for("show-attend-tell"), folder)

    def twins(self, path):
        folder = make_world(path)
        write_pixels(folder)
        write_pixels(folder, "twin")
        return folder


class TestWhatIsSeen:
    def test_regions_are_those_of_a_stored_extraction(self, shapes):
        folder = DataFolder(shapes / "data")
        stored = FeatureStore.open(folder.store_path("seen"))
        model, _, _ = made(folder)
        rows = stored.rows(stored.ids[3:4])
        pixels, _ = FeatureStore.open(folder.store_path("raw")).read(rows)
        regions, mask = model.encode(torch.from_numpy(pixels))
        assert mask.all()
        assert regions.shape == (1, 4, 96)
        wanted = torch.from_numpy(stored.read(rows)[0]).float()
        torch.testing.assert_close(regions, wanted, rtol=1e-3, atol=1e-3)
        assert model.spec.grid == stored.header.grid == (2, 2)

    def test_the_model_is_none_the_wiser(self, world):
        """It gets regions and a mask as from a store, begins as it would have, and speaks alike."""
        model, batch, _ = made(world)
        seen = model.eval().encode_batch(batch)
        assert seen.regions.shape == (len(batch.regions), 4, 96)
        assert seen.regions.dtype == torch.float32
        torch.testing.assert_close(model(batch).logits, model.model(seen).logits, rtol=0, atol=0)
        words = torch.zeros(len(batch.regions), 1, dtype=torch.int64)
        state = model.init_state(batch.regions, batch.region_mask)
        alone = model.model.init_state(seen.regions, seen.region_mask)
        torch.testing.assert_close(
            model.step(words, state).logits, model.model.step(words, alone).logits
        )

    def test_an_image_is_seen_once_however_many_examples_look_at_it(self, world):
        model, batch, _ = made(world)
        assert len(batch) > len(batch.regions)
        shown = []
        model.encoder.register_forward_pre_hook(lambda _, given: shown.append(len(given[0])))
        model(batch)
        assert shown == [len(batch.regions)]

    @pytest.mark.parametrize("net", [NET, "timm:vit_tiny_patch16_224"])
    def test_layouts_differ_and_numbers_do_not(self, world, net):
        last, batch, _ = made(world, backbone=net)
        first, _, _ = made(world, backbone=net, channels_last=False)
        assert last.images(batch.regions).is_contiguous(memory_format=torch.channels_last)
        assert first.images(batch.regions).is_contiguous()
        torch.testing.assert_close(
            last.encode(batch.regions)[0], first.encode(batch.regions)[0], rtol=1e-4, atol=1e-4
        )

    @pytest.mark.parametrize("name", MODELS)
    def test_it_stands_in_front_of_any_model(self, world, name):
        entry = MODELS[name]
        recipe = recipe_for("show-attend-tell" if entry.task == "caption" else "mcan")
        recipe = recipe.model_copy(update={"model": entry.small})
        experiment = assemble(recipe, world)
        model = build(recipe, experiment.sizes, experiment.store.header.preprocessing)
        assert without_encoder(model).__class__ is load_object(entry.model)
        batch = TASKS[entry.task].examples(experiment, "train").batch(np.arange(6)).to("cpu")
        loss_for(recipe)(model.train()(batch), batch).backward()
        assert all(weight.grad is not None for weight in model.parameters())


class TestWhatLearns:
    @pytest.mark.parametrize(
        ("since", "layers"),
        [
            (None, ()),
            ("0", LAYERS),
            ("2", LAYERS[3:]),
            ("layer3", LAYERS[4:]),
            ("layer4", LAYERS[5:]),
        ],
    )
    def test_gradients_reach_the_stages_asked_for_and_no_other(self, world, since, layers):
        model, batch, loss = made(world, trains_from=since)
        loss(model.train()(batch), batch).backward()
        assert learning(model) == set(layers)
        below = [p for n, p in model.encoder.named_parameters() if p.grad is None]
        assert not any(p.requires_grad for p in below)
        assert all(p.grad is not None for p in model.model.parameters())

    def test_stages_that_stay_keep_no_activations(self, world):
        kept = {}
        for since in (None, "layer4", "0"):
            model, batch, _ = made(world, trains_from=since)
            sizes = []
            keep = lambda value: sizes.append(value.numel()) or value  # noqa: B023, E731
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
                regions, _ = model.train().encode(batch.regions)
            kept[since] = sum(sizes)
            assert regions.requires_grad == (since is not None)
        assert kept[None] == 0
        assert kept["layer4"] < kept["0"] / 3

    def test_blocks_and_stages_by_name_and_number(self):
        network = choose_backbone("timm:resnet18", "random").model
        assert weights_from(network, "2") == weights_from(network, "layer2")
        later = weights_from(network, "layer2.1")
        assert later < weights_from(network, "layer2")
        assert {name.split(".")[0] for name in later} == {"layer2", "layer3", "layer4"}
        everything = {name for name, _ in network.named_parameters()}
        assert weights_from(network, "0") == weights_from(network, "conv1") == everything
        vit = choose_backbone("timm:vit_tiny_patch16_224", "random").model
        assert {name.split(".")[1] for name in weights_from(vit, "blocks.10")} == {
            *("10", "11"),
            *("weight", "bias"),  # of the last norm
        }

    def test_numbered_modules_are_stages_where_timm_says_nothing(self):
        network = torch.nn.ModuleDict(
            {
                "embed": torch.nn.ModuleDict({"patch": torch.nn.Linear(2, 2)}),
                "body": torch.nn.ModuleDict(
                    {"layers": torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])}
                ),
                "last": torch.nn.LayerNorm(2),
            }
        )
        behind = {"body.layers.1.weight", "body.layers.1.bias", "last.weight", "last.bias"}
        assert weights_from(network, "body.layers.1") == behind
        assert weights_from(network, "2") == behind

    @pytest.mark.parametrize("stage", ["layer9", "9", "layer", "lay"])
    def test_an_unknown_stage_is_answered_with_those_there_are(self, world, stage):
        with pytest.raises(BadConfig, match=r"0 \(conv1.*4 \(layer4\.0\)"):
            made(world, trains_from=stage)

    def test_it_sleeps_until_its_epoch(self, world):
        model, batch, loss = made(world, trains_from="layer3", first_epoch=2)
        for epoch, layers in ((0, set()), (1, set()), (2, {"layer3", "layer4"})):
            model.zero_grad()
            model.start_epoch(epoch)
            loss(model.train()(batch), batch).backward()
            assert learning(model) == layers

    def test_batch_norm_stays_or_moves_as_the_switch_says(self, world):
        for encoder, moves in (
            ({"trains_from": "layer4"}, False),
            ({"trains_from": "layer4", "batch_norm": "trained"}, True),
            ({"trains_from": None, "batch_norm": "trained"}, True),
            ({"trains_from": "layer4", "batch_norm": "trained", "first_epoch": 1}, False),
        ):
            model, batch, _ = made(world, **encoder)
            before = statistics(model)
            model.train()(batch)
            assert set(differ(before, statistics(model))) == {moves}, encoder
            before = statistics(model)
            model.eval()(batch)
            assert not any(differ(before, statistics(model)))

    def test_dropped_paths_stay_off(self, world):
        model, batch, _ = made(world, options={"drop_path_rate": 0.9, "drop_rate": 0.9})
        torch.testing.assert_close(
            model.train().encode(batch.regions)[0], model.eval().encode(batch.regions)[0]
        )

    def test_forgetting_activations_changes_no_gradient(self, world):
        grads, kept = [], []
        for checkpointing in (False, True):
            model, batch, loss = made(world, trains_from="layer2", checkpointing=checkpointing)
            sizes = []
            keep = lambda value: sizes.append(value.numel()) or value  # noqa: B023, E731
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
                torch.manual_seed(1)
                total = loss(model.train()(batch), batch)
            total.backward()
            kept.append(sum(sizes))
            grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        assert grads[0].keys() == grads[1].keys()
        for name, grad in grads[0].items():
            torch.testing.assert_close(grads[1][name], grad)
        assert kept[1] < kept[0]

    def test_a_learning_rate_of_its_own(self, world):
        recipe = recipe_for("show-attend-tell", "train.optimiser.learning_rate=4e-4")
        recipe = change(recipe, "encoder.learning_rate=1e-5")
        rules = {"embed": WeightRule(rate=2.0)}
        recipe = recipe.model_copy(
            update={"train": recipe.train.model_copy(update={"rules": rules})}
        )
        experiment = assemble(recipe, world)
        model = build(recipe, experiment.sizes, experiment.store.header.preprocessing)
        config = training_of(recipe)
        optimiser = make_optimiser(model, config)
        set_learning_rate(optimiser, config, ScheduleState(0, 0))
        rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
        for name, parameter in model.named_parameters():
            rate = 1e-5 if name.startswith("encoder.") else 4e-4
            rate = 8e-4 if name.startswith("model.embed") else rate
            assert rates[id(parameter)] == pytest.approx(rate), name
        assert optimiser.param_groups[0]["lr"] != pytest.approx(1e-5), "the log shows the model's"
        assert training_of(RECIPES["show-attend-tell"]) is RECIPES["show-attend-tell"].train

    def test_weights_that_do_not_learn_do_not_shrink(self, world):
        model, _, _ = made(world, trains_from="layer4")
        changes = "train.optimiser.kind=sgdw", "train.optimiser.weight_decay=0.1"
        config = training_of(recipe_for("show-attend-tell", *changes))
        optimiser = make_optimiser(model, config)
        before = {name: value.clone() for name, value in model.named_parameters()}
        constrain_weights(model, optimiser, config)
        for name, value in model.named_parameters():
            assert torch.equal(value, before[name]) == (not value.requires_grad or not value.any())


def test_a_vision_transformer_with_all_its_tokens(world):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    options = {**sizes, "intermediate_size": 48, "image_size": 64, "patch_size": 16}
    net = "transformers:google/vit-base-patch16-224"
    model, batch, loss = made(world, backbone=net, options=options, trains_from="vit.layers.1")
    assert model.spec.grid is None
    assert model.spec.boxes.shape == (17, 4)
    loss(model.train()(batch), batch).backward()
    found = {n for n, p in model.encoder.named_parameters() if p.grad is not None}
    assert {name.split(".")[2] for name in found} == {"layers", "layernorm"}
    assert not any(".layers.0." in name for name in found)


class TestFoldedBatchNorm:
    def folded(self):
        eye = choose_backbone(NET, "random")
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for layer in eye.modules():
                if isinstance(layer, _BatchNorm):
                    layer.weight.fill_(1)
                    layer.running_var.fill_(1 - layer.eps)
                    layer.bias.normal_(0, 0.1, generator=draw)
        return eye

    def test_it_is_recognised(self):
        assert is_folded(self.folded())
        assert not is_folded(choose_backbone(NET, "random"))
        assert not is_folded(choose_backbone("timm:vit_tiny_patch16_224", "random"))

    def test_true_statistics_change_nothing_but_the_statistics(self):
        eye, draw = self.folded(), torch.Generator().manual_seed(1)
        images = torch.randn(40, 3, 64, 64, generator=draw)
        wanted = eye(images)
        unfold_batch_norm(eye, images.split(16))
        assert not is_folded(eye)
        torch.testing.assert_close(eye(images), wanted, rtol=1e-3, atol=1e-4)
        for layer in eye.modules():
            if isinstance(layer, _BatchNorm):
                layer.train().momentum = None  # statistics of this very batch
                layer.reset_running_stats()
        before = [p.clone() for p in statistics_of(self.unfolded(images))]
        eye.model.forward_features(images)
        for ours, measured in zip(before, statistics_of(eye), strict=True):
            torch.testing.assert_close(ours, measured, rtol=0.02, atol=1e-3)

    def test_a_real_network_without_batch_norm_gets_it_back(self, real_weights, real_data):
        file = real_weights("mobilenetv2_100.safetensors")
        eye = choose_backbone("timm:mobilenetv2_100", file, {"pad_type": "same"})
        assert is_folded(eye)
        photos = sorted(real_data("flickr8k-2250").rglob("*.jpg"))[:12]
        shown = preprocessing_for(eye.spec, resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
        images = torch.stack(
            [normalise(resize_and_crop(read_image(photo), shown), shown) for photo in photos]
        )
        wanted = eye(images)
        unfold_batch_norm(eye, images.split(6))
        assert not is_folded(eye)
        torch.testing.assert_close(eye(images), wanted, rtol=1e-3, atol=1e-3)

    def unfolded(self, images):
        eye = self.folded()
        unfold_batch_norm(eye, [images])
        return eye

    def test_a_run_that_trains_it_begins_with_true_statistics(self, world, tmp_path, monkeypatch):
        self.folded().save(tmp_path / "folded.safetensors")
        weights = str(tmp_path / "folded.safetensors")
        recipe = recipe_for("show-attend-tell", "train.epochs=1", weights=weights)
        assert is_folded(build_with_weights(recipe, world))
        train(recipe, world.path, tmp_path / "frozen", console=QUIET)
        assert self.means(tmp_path / "frozen") == 0
        recipe = change(recipe, "encoder.batch_norm=trained")
        recipe = change(recipe, "train.optimiser.learning_rate=1e-9")
        train(recipe, world.path, tmp_path / "trained", console=QUIET)
        assert self.means(tmp_path / "trained") > 0

    def means(self, run):
        weights = load_tensors(run / "model.safetensors")[0]
        return sum(float(v.abs().sum()) for n, v in weights.items() if n.endswith("running_mean"))


def statistics_of(module):
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    return [value for layer in norms for value in (layer.running_mean, layer.running_var)]


def build_with_weights(recipe, folder):
    experiment = assemble(recipe, folder)
    shown = experiment.store.header.preprocessing
    return build(recipe, experiment.sizes, shown, read_weights=True)


class TestTraining:
    def test_resuming_across_the_first_epoch_changes_nothing(self, world, tmp_path, monkeypatch):
        recipe = recipe_for(
            *("show-attend-tell", "train.epochs=3"), first_epoch=1, batch_norm="trained"
        )
        recipe = change(recipe, "encoder.learning_rate=1e-3")
        straight, stopped = tmp_path / "straight", tmp_path / "stopped"
        train(recipe, world.path, straight, console=QUIET)
        for stop in (3, 5):  # within the first epoch, and within the second
            steps = 0

            def interrupt(view, progress, stop=stop):
                nonlocal steps
                steps += 1
                if steps == stop:
                    os.kill(os.getpid(), signal.SIGINT)

            with monkeypatch.context() as patch:
                patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    train(recipe, world.path, stopped, resume=stop == 5, console=QUIET)
            saved = json.loads(load_tensors(stopped / "last/state.safetensors")[1]["progress"])
            assert saved["progress"]["batch"] > 0
            assert saved["progress"]["epoch"] == (stop == 5)
        torch.manual_seed(99)
        train(recipe, world.path, stopped, resume=True, console=QUIET)
        ours, theirs = (load_tensors(r / "last/state.safetensors")[0] for r in (straight, stopped))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name

    def test_the_encoder_moves_from_its_epoch_on(self, world, tmp_path):
        recipe = recipe_for("show-attend-tell", "train.epochs=1", trains_from="layer4")
        for first, moved in ((0, {"layer4"}), (1, set())):
            run = tmp_path / str(first)
            train(change(recipe, f"encoder.first_epoch={first}"), world.path, run, console=QUIET)
            after = load_tensors(run / "last/state.safetensors")[0]
            before = choose_backbone(NET, "random").model.state_dict()
            changed = {
                name.split(".")[0]
                for name, value in before.items()
                if not torch.equal(value, after[f"model.encoder.model.{name}"])
            }
            assert changed == moved

    def test_patience_waits_for_the_encoder(self, world, tmp_path):
        recipe = recipe_for("show-attend-tell", "train.epochs=50", "train.patience=1")
        recipe = change(recipe, "train.optimiser.learning_rate=1e-9")
        recipe = change(recipe, "encoder.first_epoch=3")
        train(recipe, world.path, tmp_path / "run", console=QUIET)
        assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 4

    @pytest.mark.parametrize("task", ["show-attend-tell", "show-ask-attend-answer"])
    def test_half_precision_stays_finite(self, world, tmp_path, task):
        recipe = recipe_for(task, "train.epochs=1", "train.precision=bf16-mixed")
        recipe = change(recipe, "encoder.checkpointing=true")
        train(recipe, world.path, tmp_path / "run", console=QUIET)
        weights = load_tensors(tmp_path / "run/last/state.safetensors")[0]
        assert all(bool(value.isfinite().all()) for value in weights.values())
        assert {value.dtype for name, value in weights.items() if "weight" in name} == {
            torch.float32
        }

    def test_it_learns_what_a_random_network_does_not_show(self, world, tmp_path):
        changes = "train.epochs=8", "train.optimiser.learning_rate=0.005"
        recipe = recipe_for("show-ask-attend-answer", *changes, batch_norm="trained")
        assert train(recipe, world.path, tmp_path / "run", console=QUIET)["accuracy"] > 80


class TestBeginningWithARun:
    def frozen(self, shapes, **changes):
        run = shapes / "frozen"
        recipe = change(RECIPES["show-attend-tell-small"], "train.epochs=1")
        if not run.exists():
            train(recipe, shapes / "data", run, features="seen", console=QUIET)
        return run

    def test_the_model_that_learnt_from_features_goes_on_behind_their_network(
        self, shapes, tmp_path
    ):
        start, run = self.frozen(shapes), tmp_path / "run"
        recipe = recipe_for("show-attend-tell", "train.epochs=1")
        recipe = change(recipe, "train.optimiser.learning_rate=1e-12")
        train(recipe, shapes / "data", run, start=start, console=QUIET)
        ours, theirs = (load_tensors(r / "model.safetensors")[0] for r in (run, start))
        for name, value in theirs.items():
            torch.testing.assert_close(ours[f"model.{name}"], value)
        first, second = (evaluate(r, split="val", device="cpu") for r in (start, run))
        assert second["cider"] == pytest.approx(first["cider"], rel=0.05)

    def test_a_run_with_an_encoder_is_taken_over_whole(self, shapes, tmp_path, monkeypatch):
        recipe = recipe_for("show-attend-tell", "train.epochs=1", batch_norm="trained")
        train(recipe, shapes / "data", tmp_path / "a", console=QUIET)
        still = change(recipe, "train.optimiser.learning_rate=1e-12")
        still = change(change(still, "encoder.batch_norm=frozen"), "encoder.weights=gone.pth")
        train(still, shapes / "data", tmp_path / "b", start=tmp_path / "a", console=QUIET)
        a, b = (load_tensors(tmp_path / r / "model.safetensors")[0] for r in "ab")
        for name, value in a.items():
            torch.testing.assert_close(b[name], value)

    def test_what_was_seen_otherwise_is_refused(self, shapes, tmp_path):
        start, data = self.frozen(shapes), shapes / "data"
        recipe = recipe_for("show-attend-tell", backbone="timm:test_resnet", options={})
        other = recipe_for("show-attend-tell", options={"output_stride": 16})
        with pytest.raises(BadRun, match=r"another network.*backbone=timm:test_resnet"):
            train(other, data, tmp_path / "x", features="raw", start=start, console=QUIET)
        if not (data / "features" / "grey").exists():
            extract(data, "pixels", name="grey", size=64, resize="squash")
        with pytest.raises(BadRun, match=r"--mean 0\.5,0\.5,0\.5 --std 0\.5"):
            train(recipe, data, tmp_path / "x", features="grey", start=start, console=QUIET)
        shutil.rmtree(data / "features" / "grey")
        smaller, about = tmp_path / "smaller", json.loads((start / "run.json").read_text())
        shutil.copytree(start, smaller)
        about["store"]["reduction"] = {"pool": [1, 1]}
        (smaller / "run.json").write_text(json.dumps(about))
        with pytest.raises(BadRun, match="store convert"):
            train(recipe, data, tmp_path / "x", features="raw", start=smaller, console=QUIET)
        plain = RECIPES["up-down-small"]
        with pytest.raises(BadRun, match="do not fit"):
            train(plain, data, tmp_path / "x", features="seen", start=start, console=QUIET)


@pytest.fixture(scope="module")
def runs(shapes, tmp_path_factory):
    """A run of each task, with an encoder that sees 4 x 4 regions."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("show-attend-tell", "show-ask-attend-answer"):
        options = {"output_stride": 16}
        train(recipe_for(name, options=options), shapes / "data", root / name, console=QUIET)
    return root


class TestARun:
    def test_it_draws_over_regions_not_pixels(self, runs, shapes):
        image = sorted((shapes / "shapes" / "images").iterdir())[0]
        run = saccade.load(runs / "show-ask-attend-answer", "cpu")
        answer = run.ask(image, "what color is it?")
        assert answer.boxes.shape == (16, 4)
        assert answer.attention.shape[1] == 16
        assert run.grid == (4, 4)
        from saccade.inference.explain import explain

        drawn = explain(runs / "show-attend-tell", image, shapes / "looked.png", device="cpu")
        assert drawn.exists()

    def test_asking_sees_what_training_saw(self, runs, shapes):
        folder, run = DataFolder(shapes / "data"), runs / "show-ask-attend-answer"
        opened = saccade.load(run, "cpu")
        image = folder.images()[2]
        store = assemble(opened.opened.header.recipe, folder).store
        pixels, _ = store.read(store.rows([image.id]))
        encoded = opened.encode(folder.image_root / image.file)
        regions, _ = load_model(open_run(run)).encode(torch.from_numpy(pixels))
        torch.testing.assert_close(encoded.regions, regions)

    def test_gaze_is_measured_on_regions(self, runs, shapes):
        run = saccade.load(runs / "show-ask-attend-answer", "cpu")
        boxes = read_boxes(shapes / "shapes" / "boxes.json")
        attention_grounding = measure_attention_grounding(
            run, DataFolder(shapes / "data"), boxes, split="test"
        )
        assert 0 < attention_grounding.landed_by_chance < 1

    def test_alone_it_captions(self, runs, shapes, tmp_path, monkeypatch):
        """Without its data, its store, and any weights but its own."""
        alone = tmp_path / "alone"
        shutil.copytree(runs / "show-attend-tell", alone)
        about = json.loads((alone / "run.json").read_text())
        about["recipe"]["encoder"]["weights"] = "hub"  # which this machine does not reach
        about["data"] = str(tmp_path / "nowhere")
        (alone / "run.json").write_text(json.dumps(about))
        shutil.rmtree(alone / "last")
        image = sorted((shapes / "shapes" / "images").iterdir())[0]
        said = saccade.load(alone, "cpu").caption(image)
        assert said.text == saccade.load(runs / "show-attend-tell", "cpu").caption(image).text
        assert len(said.boxes) == 16


class TestSettings:
    def test_a_word_is_an_encoder(self):
        recipe = change(RECIPES["joint-embedding"], "encoder=timm:resnet50")
        assert recipe.encoder == EncoderConfig(backbone="timm:resnet50")
        recipe = change(recipe, "encoder.trains_from=2")
        recipe = change(recipe, "encoder.options=pad_type=same,output_stride=16")
        assert (
            recipe.encoder.trains_from
            == EncoderConfig(backbone="timm:x", trains_from=2).trains_from
        )
        assert recipe.encoder.options == {"pad_type": "same", "output_stride": 16}
        assert change(recipe, "encoder=none").encoder is None

    def test_what_contradicts_itself_is_refused(self):
        recipe = RECIPES["show-attend-tell-fine-tuned"]
        recipe = change(recipe, "encoder.checkpointing=true")
        with pytest.raises(SaccadeError, match="count every batch twice"):
            change(recipe, "encoder.batch_norm=trained")
        for name in ("pixels", "torchvision:fasterrcnn_resnet50_fpn"):
            with pytest.raises(SaccadeError, match="encoder"):
                change(recipe, f"encoder={name}")

    def test_the_published_settings(self):
        tutorial = RECIPES["show-attend-tell-fine-tuned"]
        assert tutorial.encoder.learning_rate == 1e-4
        assert tutorial.train.optimiser.learning_rate == 4e-4
        late = RECIPES["adaptive-attention-fine-tuned"]
        assert (late.encoder.learning_rate, late.encoder.first_epoch) == (1e-5, 20)

    def test_the_stages_that_the_tutorial_fine_tunes_have_its_number_of_weights(self):
        network = choose_backbone("timm:resnet101", "random").model
        learns = weights_from(network, "layer2")
        sizes = {name: p.numel() for name, p in network.named_parameters()}
        assert sum(sizes.values()) == 42_500_160
        assert sum(sizes[name] for name in learns) == 42_274_816


def test_the_whole_way_by_command(shapes, tmp_path):
    def saccade(*words, status=0):
        asked = CliRunner().invoke(app, [str(word) for word in words])
        assert asked.exit_code == status, asked.output
        return asked.output

    data, few = tmp_path / "data", ("--set", "train.epochs=1", "--device", "cpu")
    prepare("vqa-v2+karpathy", shapes / "shapes", data)
    told = saccade("extract", data, "--backbone", "pixels", "--size", 64, "--resize", "squash")
    assert "64 x 64 regions of 3 numbers, uint8" in told
    assert "--features pixels-64" in told
    encoder = ("--set", f"encoder={NET}", "--set", "encoder.weights=random")
    learns = ("--set", "encoder.trains_from=layer4")
    run = tmp_path / "run"
    saccade("train", "up-down-small", "--data", data, "--out", run, *encoder, *learns, *few)
    image = sorted((shapes / "shapes" / "images").iterdir())[0]
    assert saccade("caption", run, image, "--device", "cpu").strip()
    assert "BLEU-4" in saccade("evaluate", run, "--split", "val", "--device", "cpu")
    told = saccade("train", "up-down-small", "--data", data, "--out", tmp_path / "x", status=1)
    assert "has no encoder" in told


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_on_a_gpu_it_trains_in_half_precision(world, tmp_path):
    recipe = recipe_for("show-attend-tell", "train.epochs=1", "train.precision=bf16-mixed")
    recipe = change(recipe, "encoder.checkpointing=true")
    train(recipe, world.path, tmp_path / "run", device="cuda", console=QUIET)
    weights = load_tensors(tmp_path / "run/last/state.safetensors")[0]
    assert all(bool(value.isfinite().all()) for value in weights.values())
