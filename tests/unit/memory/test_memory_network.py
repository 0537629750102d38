"""M's network: golden parts, its cells against PyTorch's, and the compiled LSTM against both."""

import pytest
import torch
from torch import nn

from world_models.fast.memory.lstm import lstm
from world_models.memory import cells
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes

CARRACING = Sizes(32, 3, 256, 5, restart=False, reward_head=False, end_head=False)
TAKECOVER = Sizes(64, 1, 512, 5, restart=True, reward_head=False, end_head=False)
SMALL = Sizes(4, 2, 6, 3, restart=True, reward_head=True, end_head=False)
FIRST_WEIGHTS = {
    "w_x": -5.107537,
    "w_h": -3.162008,
    "bias": 6.0,
    "mixture.weight": 1.121083,
    "mixture.bias": 0.0,
    "restart.weight": 0.285723,
    "restart.bias": 0.0,
    "reward.weight": 0.175172,
    "reward.bias": 0.0,
}


def arguments(steps=40, batch=3, inputs=5, hidden=8, starts=True, seed=0):
    """Random inputs of ``lstm``; 40 steps span three chunks of the backward pass."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g).requires_grad_()

    keep = torch.ones(steps, batch)
    if starts:
        keep[0, 0] = keep[steps // 2, 1] = keep[steps - 1, 2] = 0
    return [
        draw(steps, batch, inputs),
        keep,
        draw(batch, hidden),
        draw(batch, hidden),
        draw(4 * hidden, inputs),
        draw(4 * hidden, hidden),
        draw(4 * hidden),
    ]


@pytest.mark.parametrize(
    ("sizes", "core", "head"),
    [
        (CARRACING, 299_008, 123_360),
        (TAKECOVER, 1_185_792, 492_993),
        (CARRACING._replace(cell="gru"), 224_256, 123_360),
        (TAKECOVER._replace(cell="gru"), 889_344, 492_993),
    ],
    ids=["carracing", "takecover", "carracing gru", "takecover gru"],
)
def test_parts_have_the_paper_s_sizes(sizes, core, head):
    network = MDNRNN(sizes)
    assert network.counts() == {sizes.cell: core, "head": head}
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == core + head


def test_gates_that_keep_the_state_start_open_and_other_biases_at_zero():
    lstm_bias = MDNRNN(CARRACING).bias.detach().view(4, 256)
    assert (lstm_bias[1] == 1).all()
    assert (lstm_bias[[0, 2, 3]] == 0).all()
    gru_bias = MDNRNN(CARRACING._replace(cell="gru")).bias.detach().view(3, 256)
    assert (gru_bias[:2] == 1).all()
    assert (gru_bias[2] == 0).all()


def test_first_weights_are_as_they_were_before_the_gru():
    """A seed means the same M as in earlier versions: sums of what seed 3 drew in one of them."""
    torch.manual_seed(3)
    network = MDNRNN(SMALL)
    found = {name: p.detach().double().sum().item() for name, p in network.named_parameters()}
    assert found == pytest.approx(FIRST_WEIGHTS, abs=1e-6)


def by_cells(cell, x, keep, state, w_x, w_h, bias):
    """The textbook's loop over steps with PyTorch's own cell, the second bias at zero."""
    outputs, zero = [], torch.zeros_like(bias)
    for t in range(len(x)):
        kept = [part * keep[t, :, None] for part in state]
        if cell == "lstm":
            state = torch.lstm_cell(x[t], kept, w_x, w_h, bias, zero)
        else:
            state = (torch.gru_cell(x[t], kept[0], w_x, w_h, bias, zero),)
        outputs.append(state[0])
    return torch.stack(outputs), state[-1]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_cell_equals_pytorch_s_over_a_sequence(cell):
    """Outputs, and gradients of all weights."""
    sizes = SMALL._replace(cell=cell)
    torch.manual_seed(0)
    network = MDNRNN(sizes)
    z, actions, starts = inputs(sizes)
    weights = [network.w_x, network.w_h, network.bias]
    state = [torch.randn(3, sizes.hidden_size) for _ in sizes.parts]
    said, last = network.sequence(z, actions, starts, tuple(state))
    x = torch.cat([z, actions, starts[..., None]], dim=-1)
    h, expected = by_cells(cell, x, 1 - starts, state, *weights)
    torch.testing.assert_close(last[-1], expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(said.mixture, network.mixture(h), atol=2e-6, rtol=1e-5)
    ours, theirs = (
        torch.autograd.grad(found.square().sum(), weights, retain_graph=True)
        for found in (said.mixture, network.mixture(h))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_cell_s_gradients_equal_finite_differences(cell):
    gates, step = cells.CELLS[cell].gates, cells.CELLS[cell].step
    g = torch.Generator().manual_seed(0)
    shapes = [(2, 2), (gates * 3, 2), (gates * 3, 3), (gates * 3,)]
    shapes += [(2, 3)] * len(cells.CELLS[cell].parts)
    given = [torch.randn(s, generator=g, dtype=torch.float64).requires_grad_() for s in shapes]
    assert torch.autograd.gradcheck(lambda x, wx, wh, b, *s: step(x, s, wx, wh, b), given)


def test_compiled_lstm_equals_pytorch_s_over_a_sequence():
    x, keep, h, c, w_x, w_h, bias = arguments(starts=False)
    theirs = nn.LSTM(5, 8)
    state = {
        "weight_ih_l0": w_x,
        "weight_hh_l0": w_h,
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }
    theirs.load_state_dict({name: value.detach() for name, value in state.items()})
    expected, (_, last) = theirs(x, (h[None], c[None]))
    ours, cell_state = lstm(x, keep, h, c, w_x, w_h, bias)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(cell_state, last[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("starts", [True, False])
def test_compiled_lstm_s_gradients_equal_autograd_s(starts):
    weights = torch.randn(40, 3, 8, generator=torch.Generator().manual_seed(1))
    gradients = []
    for run in (lstm, lambda x, k, h, c, *w: by_cells("lstm", x, k, (h, c), *w)):
        given = arguments(starts=starts)
        h, c = run(*given)
        ((h * weights).sum() + c.square().sum()).backward()
        gradients.append([g.grad for g in given if g.requires_grad] + [h.detach(), c.detach()])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)


def inputs(sizes, steps=7, batch=3):
    g = torch.Generator().manual_seed(5)
    z = torch.randn(steps, batch, sizes.z_size, generator=g)
    actions = torch.rand(steps, batch, sizes.action_size, generator=g)
    starts = torch.zeros(steps, batch)
    starts[0] = 1
    starts[4, 1] = 1
    return z, actions, starts


@pytest.mark.parametrize("sizes", [CARRACING, TAKECOVER, SMALL, SMALL._replace(cell="gru")])
def test_steps_equal_the_sequence(sizes):
    torch.manual_seed(0)
    network = MDNRNN(sizes).eval()
    z, actions, starts = inputs(sizes)
    whole, last = network.sequence(z, actions, starts, network.initial_state(3))
    state = network.initial_state(3)
    for t in range(len(z)):
        step, state = network.step(z[t], actions[t], starts[t], state)
        for ours, theirs in zip(step, whole, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs[t], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [CARRACING, SMALL, SMALL._replace(cell="gru")])
def test_a_start_forgets_what_came_before(sizes):
    """After a start at step 4, member 1 remembers nothing of steps 0 to 3; member 0 does."""
    torch.manual_seed(0)
    network = MDNRNN(sizes).eval()
    z, actions, starts = inputs(sizes)
    before, _ = network.sequence(z, actions, starts, network.initial_state(3))
    z = z.clone()
    z[:4] += 1
    noise = tuple(torch.randn(3, size) for size in sizes.parts.values())
    after, _ = network.sequence(z, actions, starts, noise)
    assert torch.equal(before.mixture[4:, 1], after.mixture[4:, 1])
    assert not torch.allclose(before.mixture[4:, 0], after.mixture[4:, 0])


def test_the_restart_flag_is_an_input_in_doom_only():
    for sizes, equal in ((CARRACING, True), (TAKECOVER, False)):
        torch.manual_seed(0)
        network = MDNRNN(sizes).eval()
        z, actions, starts = inputs(sizes)
        first, _ = network.step(z[0], actions[0], starts[0], network.initial_state(3))
        later, _ = network.step(z[0], actions[0], 0 * starts[0], network.initial_state(3))
        assert torch.equal(first.mixture, later.mixture) == equal
