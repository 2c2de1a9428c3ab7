"""Chains of layers of a quantised graph: what stands between two layers becomes one fire."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from chain_cases import (
    BETWEEN,
    HIDDEN,
    INPUTS,
    OUTPUTS,
    REFUSED,
    ROOT,
    ROWS,
    make_three_layers,
    make_two_layers,
    record_program,
)
from neuromorphic_sim import check_simulators

from spikequant import SpikeQuantError, cli
from spikequant.compiler import CompileOptions, compile_model


def outputs_of(network: dict) -> np.ndarray:
    """By the thresholds of the description, from the counts of its stimulus."""
    counts = np.array(network["stimulus"]["counts"])
    for layer in network["layers"]:
        membranes = counts @ np.array(layer["weights"]).T
        reached = membranes[:, :, None] >= np.array(layer["thresholds"])[None]
        counts = reached.sum(axis=2) + layer["window"]["lo"]
    return counts


@pytest.fixture(scope="module")
def relu_graph(tmp_path_factory):
    return make_two_layers(BETWEEN["relu"].function, tmp_path_factory.mktemp("relu"))


@pytest.fixture(scope="module")
def deep_graph(tmp_path_factory):
    return make_three_layers(tmp_path_factory.mktemp("deep"))


@pytest.mark.parametrize("name", BETWEEN)
def test_fire_stands_for_what_is_between(name, tmp_path):
    """Hidden counts are those that the whole program has where nothing saturates there."""
    between = BETWEEN[name]
    graph = make_two_layers(between.function, tmp_path / "graph")
    report = graph.select("json", "arg1,arg3", tmp_path / "out", rows=ROWS)
    first, last = report["layers"]
    assert first["threshold_error"] < 2**-24
    assert first["levels"] > 100
    assert first["changed_levels"] <= first["levels"] // 50
    assert first["largest_change"] <= 1
    assert (first["window"]["lo"] == 0) == between.one_rail
    assert last["levels"] == 0
    network = json.loads((tmp_path / "out" / "network.json").read_text())
    check_hidden_counts(graph, network, first, tmp_path)
    with np.load(tmp_path / "out" / "expected.npz") as expected:
        np.testing.assert_array_equal(expected["outputs"], outputs_of(network))
        up, bias, down = (array.astype(np.float64) for array in graph.arrays)
        real = between.real(graph.batch[0] @ up, bias) @ down
        np.testing.assert_allclose(expected["real"], real, rtol=1e-5, atol=1e-4)
        step = report["output_step"]
        error = np.sqrt(((expected["outputs"] * step - real) ** 2).mean())
        assert report["real_output_error"] == pytest.approx(error, rel=1e-4)
        assert 0 < error < 0.5 * np.sqrt((real**2).mean())


def check_hidden_counts(graph, network, first, folder) -> None:
    options = CompileOptions(calibration=graph.calibration, weights=graph.weights, bits=4.5)
    options.centres = False
    compile_model(graph.file, folder / "program", options)
    taps = record_program(folder / "program", graph.batch[0], folder)
    counts = np.array(network["stimulus"]["counts"])
    unsaturated = (counts == taps["arg1.in.counts"]).all(axis=1)
    assert unsaturated.any()
    layer = network["layers"][0]
    membranes = counts @ np.array(layer["weights"]).T
    np.testing.assert_array_equal(membranes[unsaturated], taps["arg1.codes.acc"][unsaturated])
    reached = membranes[:, :, None] >= np.array(layer["thresholds"])[None]
    hidden = reached.sum(axis=2) + layer["window"]["lo"]
    wanted = taps["arg3.in.counts"]
    # The program's window of a channel may be smaller than the fire's; 1 is its tolerance.
    text = (folder / "program" / "quantized.mlir").read_text()
    bits = np.array(json.loads(text.split("@arg3.in.bits : ")[1].split("dense<")[1].split(">")[0]))
    window = np.broadcast_to(np.where(bits > 1, 2 ** np.maximum(bits - 1, 0) - 1, 0), HIDDEN)
    inside = unsaturated[:, None] & (abs(wanted) < window)
    assert inside.mean() > 0.2
    difference = abs(hidden - wanted)[inside]
    assert difference.max() <= (1 if first["changed_levels"] else 0)
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_fire_can_stand_for(name, tmp_path):
    function, message = REFUSED[name]
    graph = make_two_layers(function, tmp_path / "graph")
    with pytest.raises(SpikeQuantError, match=r"graph\.mlir:\d+:\d+: error: ") as caught:
        graph.select("json", "arg1,arg3", tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["nir", "sanafe"])
def test_three_layers_in_simulators(deep_graph, target, tmp_path, capsys):
    report = deep_graph.select(target, "arg1,arg3,arg5", tmp_path / "out")
    assert [layer["window"]["lo"] == 0 for layer in report["layers"]] == [True, False, False]
    assert report["samples"] == 100
    check_simulators(tmp_path / "out", target)
    with capsys.disabled():
        share, error = report["saturated_share"], report["mean_output_error"]
        print(
            f"\n3 layers, 100 inputs: exact in {target}; {share:.2%} saturated, mean error {error}"
        )


@pytest.mark.parametrize("target", ["nir", "sanafe"])
def test_chain_of_tiles(relu_graph, target, tmp_path):
    """Ranges that only one neighbour states hold for both."""
    report = relu_graph.select(target, "arg1[3:20,5:24],arg3", tmp_path / "out", rows=40)
    ranges = [(layer["rows"], layer["columns"]) for layer in report["layers"]]
    assert ranges == [([3, 20], [5, 24]), ([0, OUTPUTS], [3, 20])]
    check_simulators(tmp_path / "out", target)
    with np.load(tmp_path / "out" / "inputs.npz") as inputs:
        flat = relu_graph.batch.reshape(-1, INPUTS)[:40, 5:24]
        np.testing.assert_array_equal(inputs["arg0"], flat)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("arg2,arg3", "graph 'main' has no site 'arg2': did you mean arg1, arg3"),
        ("arg1,arg4", "SEL-C1: 'main' has no integrate site 'arg4': did you mean arg1, arg3?"),
        ("arg1,arg1", "SEL-C6: before 'arg1' stands an argument"),
        ("arg3,arg1", "SEL-C6: before 'arg1' stands an argument"),
        ("arg1[0:4,0:25]", "SEL-C3: columns 0:25 of 'arg1' are not all in 0:24"),
        ("arg1[0:41,0:4]", "SEL-C3: rows 0:41 of 'arg1' are not all in 0:40"),
        ("arg1[0:4,0:4],arg3[0:2,1:5]", "SEL-C3: columns 1:5 of 'arg3' must be the rows 0:4"),
        ("arg1[0:4", "'arg1[0:4' must be SITE or SITE[rows,columns]"),
    ],
)
def test_selections_that_are_wrong(relu_graph, selection, message, tmp_path):
    with pytest.raises(SpikeQuantError) as caught:
        relu_graph.select("json", selection, tmp_path / "out")
    assert message.removeprefix("graph ") in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_last_column_and_row_are_inside(relu_graph, tmp_path):
    report = relu_graph.select("json", f"arg1[39:{HIDDEN},0:{INPUTS}]", tmp_path / "out")
    assert report["layers"][0]["rows"] == [39, 40]


def test_order_of_the_program(deep_graph, tmp_path):
    with pytest.raises(SpikeQuantError, match="SEL-C7: 'arg5' follows 'arg3', not 'arg1'"):
        deep_graph.select("json", "arg1,arg5", tmp_path / "out")


def test_too_large_for_the_target_model(relu_graph, tmp_path):
    model = tmp_path / "chip.json"
    limits = {"format": "spikequant-target-model", "version": 1, "name": "chip", "fan_in": 20}
    model.write_text(json.dumps(limits))
    with pytest.raises(SpikeQuantError) as caught:
        relu_graph.select("sanafe", "arg1", tmp_path / "out", target_model=model)
    assert "graph.mlir:" in str(caught.value)
    assert "FIT-C2: a neuron of 'arg1' has" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_several_networks(relu_graph, tmp_path):
    from spikequant.neuromorphic_compile import SelectOptions, compile_selection

    options = CompileOptions(calibration=relu_graph.calibration, weights=relu_graph.weights)
    select = SelectOptions("json", ["arg1", "arg3[0:4,0:8]"], rows=5)
    result = compile_selection(relu_graph.file, tmp_path / "out", options, select)
    assert [network["network"] for network in result["networks"]] == ["arg1", "arg3"]
    schema = json.loads((ROOT / "docs" / "schema" / "network-1.json").read_text())
    for number in (0, 1):
        network = json.loads((tmp_path / "out" / f"network{number}" / "network.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(network)
        np.testing.assert_array_equal(outputs_of(network), network["stimulus"]["outputs"])


def test_calibration_without_inputs(relu_graph, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_bytes(relu_graph.calibration.read_bytes())
    graph = type(relu_graph)(
        relu_graph.file, relu_graph.weights, alone, relu_graph.batch, relu_graph.arrays
    )
    with pytest.raises(SpikeQuantError, match=r"alone\.json\.inputs\.npz\) are not beside it"):
        graph.select("json", "arg1", tmp_path / "out")
    inputs = tmp_path / "in.npz"
    np.savez(inputs, arg0=graph.batch[:2])
    report = graph.select("json", "arg1", tmp_path / "out", inputs=inputs)
    assert report["samples"] == 2 * ROWS, "as many as there are"


def run_command(graph, *words) -> int:
    command = ["compile", graph.file, "--weights", graph.weights, *words]
    return cli.main([str(word) for word in command])


def test_command_prints_and_writes_the_report(relu_graph, tmp_path, capsys):
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    given = ["--calibration", relu_graph.calibration, "--target", "json", "--code", "gated"]
    given += ["--rows", 7, "--output-bits", 5, "--output-step", 2.5, "--json", figures]
    assert run_command(relu_graph, *given, "--select", "arg1[0:8,0:24],arg3", "-o", out) == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert json.loads(figures.read_text())["networks"] == [report]
    assert "arg1[0:8,0:24],arg3[0:12,0:8]" in printed
    for key in ("neurons", "synapses", "steps"):
        assert str(report[key]) in printed
    assert report["samples"] == 7 and report["output_step"] == 2.5
    assert report["layers"][1]["window"] == {"lo": -15, "hi": 15}
    network = json.loads((out / "network.json").read_text())
    populations = network["spiking"]["populations"]
    assert report["neurons"] == sum(len(p["neurons"]) for p in populations)
    assert report["synapses"] == sum(len(p["synapses"]) for p in populations)
    assert report["saturated"] == network["stimulus"]["saturated"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "nir"], "--target nir needs --select SITE"),
        (["--select", "arg1"], "--select: for --target json, nir or sanafe"),
        (["--rows", "5"], "--rows: for --target json, nir or sanafe"),
        (["--target", "nir", "--select", "arg1", "--float"], "--select needs static steps"),
        (["--target", "nir", "--select", "arg1", "--method", "rtn"], "--select needs static steps"),
        (["--target", "nir", "--select", "arg1"], "quantisation needs --calibration FILE"),
        (["--target", "nir", "--select", "arg1", "--calibration", "no"], "no: no such file"),
    ],
)
def test_commands_that_are_wrong(relu_graph, words, message, tmp_path, capsys):
    if message.endswith("SITE"):
        words = [*words, "--calibration", str(relu_graph.calibration)]
    assert run_command(relu_graph, *words, "-o", tmp_path / "out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_kept(relu_graph, tmp_path, capsys):
    """A folder that is no selection is not replaced; a selection is left if the next one fails."""
    given = ["--calibration", relu_graph.calibration, "--target", "json"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    assert run_command(relu_graph, *given, "--select", "arg1", "-o", other) == 1
    assert "exists and is not selected layers" in capsys.readouterr().err
    out = tmp_path / "out"
    assert run_command(relu_graph, *given, "--select", "arg1", "-o", out) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert run_command(relu_graph, *given, "--select", "arg9", "-o", out) == 1
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert run_command(relu_graph, *given, "--select", "arg1", "-o", out) == 0
    after = {file.name: file.read_bytes() for file in out.iterdir()}
    for name in ("network.json", "report.json", "quantized.mlir", "weights.sqw"):
        assert after[name] == before[name], "the same again"
