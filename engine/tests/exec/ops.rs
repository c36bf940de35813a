//! Every operation, on whole tensors and on views of them.

use crate::harness::*;
use g2_engine::ir::op::Op;
use g2_engine::ir::*;

const SIZES: &[(&str, usize)] = &[("t", 5), ("b", 3), ("m", 37), ("k", 70), ("n", 33), ("one", 1)];

fn num(n: usize) -> Dim {
    Dim::number(n)
}

#[test]
fn primitives() {
    let mut case = Case::new(&[("b", 3), ("n", 1100)]);
    let a = case.input("a", &["b", "n"]);
    let b = case.input("b", &["b", "n"]);
    let c = case.input("c", &["b", "n"]);
    let positive = case.g().map(Map::Sigmoid, &[a]);
    for map in Map::ALL {
        let args = match (map, map.row().arity) {
            (Map::Ln | Map::Logit | Map::Sqrt, _) => vec![positive],
            (_, 1) => vec![a],
            (_, 2) => vec![a, b],
            _ => vec![a, b, c],
        };
        let node = case.g().map(map, &args);
        case.output(node);
    }
    case.check();
}

#[test]
fn primitives_read_views() {
    let mut case = Case::new(SIZES);
    let x = case.input("x", &["m", "k"]);
    let y = case.input("y", &["k", "m"]);
    let v = case.input("v", &["k"]);
    let w = case.input("w", &["m"]);
    let s = case.input("s", &[]);
    let g = case.g();
    let whole = shape(&[&d("m"), &d("k")]);
    let flipped = g.op(Op::Transpose, &[y]);
    let back = g.op(Op::Reverse { axis: 1 }, &[x]);
    let down = g.op(Op::Reverse { axis: 0 }, &[x]);
    let row = g.op(Op::Broadcast { shape: whole.clone(), axes: vec![1] }, &[v]);
    let column = g.op(Op::Broadcast { shape: whole.clone(), axes: vec![0] }, &[w]);
    let scalar = g.broadcast_scalar(s, whole);
    let parts = [flipped, back, down, row, column, scalar];
    let nodes: Vec<NodeId> = parts.iter().map(|&part| g.mul(x, part)).collect();
    case.outputs(&nodes);
    let slice = |g: &mut Graph, of, axis, start, len| g.op(Op::Slice { axis, start: num(start), len: num(len) }, &[of]);
    let g = case.g();
    let a = slice(g, x, 1, 3, 20);
    let b = slice(g, x, 1, 40, 20);
    let c = slice(g, a, 0, 7, 11);
    let e = slice(g, b, 0, 8, 11);
    let sums = [g.add(a, b), g.add(c, e)];
    case.outputs(&sums);
    // Views themselves as outputs, arguments and constants too.
    let constant = case.g().op(Op::Const(2.5), &[]);
    let size = case.g().op(Op::Size(&d("k") * &d("m")), &[]);
    case.outputs(&[flipped, back, column, x, s, constant, size, c]);
    case.check();
}

#[test]
fn axes_of_length_one() {
    let mut case = Case::new(SIZES);
    let x = case.input("x", &["m", "k"]);
    let g = case.g();
    let middle = g.op(Op::Insert { axis: 1 }, &[x]);
    let last = g.op(Op::Insert { axis: 2 }, &[x]);
    let first = g.op(Op::Insert { axis: 0 }, &[x]);
    let squares = [middle, last, first].map(|v| g.square(v));
    let back = g.op(Op::Remove { axis: 1 }, &[squares[0]]);
    let twice = g.add(back, x);
    let sum = g.op(Op::Sum { axes: vec![1] }, &[last]);
    case.outputs(&[middle, last, first, squares[0], squares[1], squares[2], twice, sum]);
    case.check();
}

#[test]
fn concatenations_and_pads() {
    let mut case = Case::new(SIZES);
    let x = case.input("x", &["m", "k"]);
    let y = case.input("y", &["m", "n"]);
    let g = case.g();
    let (ex, ey) = (g.map(Map::Tanh, &[x]), g.map(Map::Tanh, &[y]));
    let placed = g.op(Op::Concat { axis: 1 }, &[ex, ey]);
    // One part twice, and one that another concatenation has already.
    let shared = g.op(Op::Concat { axis: 1 }, &[ey, y, ey]);
    let nested = g.op(Op::Concat { axis: 0 }, &[placed, placed]);
    let deep = g.op(Op::Concat { axis: 1 }, &[placed, shared]);
    let inserted = g.map(Map::Neg, &[x]);
    let inserted = g.op(Op::Insert { axis: 0 }, &[inserted]);
    let x_again = g.op(Op::Insert { axis: 0 }, &[x]);
    let stacked = g.op(Op::Concat { axis: 0 }, &[inserted, x_again]);
    let flipped = g.op(Op::Transpose, &[ex]);
    let turned = g.op(Op::Concat { axis: 0 }, &[flipped, flipped]);
    let pad = g.op(Op::Pad { axis: 1, start: num(4), len: num(90) }, &[x]);
    let edge = g.op(Op::Pad { axis: 0, start: num(0), len: num(40) }, &[x]);
    let full = g.op(Op::Pad { axis: 0, start: num(3), len: num(40) }, &[ex]);
    case.outputs(&[placed, shared, nested, deep, stacked, turned, pad, edge, full, ex]);
    case.check();
}

#[test]
fn sums() {
    let mut case = Case::new(&[("t", 5), ("b", 3), ("n", 300), ("long", 9000)]);
    let x = case.input("x", &["t", "b", "n"]);
    let long = case.input("long", &["b", "long"]);
    for axes in [vec![], vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
        let node = case.g().op(Op::Sum { axes }, &[x]);
        case.output(node);
    }
    let g = case.g();
    let flipped = g.op(Op::Transpose, &[x]);
    let back = g.op(Op::Reverse { axis: 2 }, &[x]);
    let of = |g: &mut Graph, x, axes| g.op(Op::Sum { axes }, &[x]);
    let sums = [of(g, flipped, vec![0]), of(g, flipped, vec![1]), of(g, back, vec![2]), of(g, back, vec![1])];
    let long = [of(g, long, vec![0]), of(g, long, vec![1]), of(g, long, vec![0, 1])];
    case.outputs(&sums);
    case.outputs(&long);
    let huge = case.input("huge", &["n", "n", "b"]);
    let sum = case.g().op(Op::Sum { axes: vec![0, 1, 2] }, &[huge]);
    case.output(sum);
    case.check();
}

#[test]
fn products() {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut case = Case::new(SIZES);
        let a = case.input("a", if ta { &["k", "m"] } else { &["m", "k"] });
        let b = case.input("b", if tb { &["n", "k"] } else { &["k", "n"] });
        let many_a = case.input("many_a", if ta { &["t", "b", "k", "m"] } else { &["t", "b", "m", "k"] });
        let many_b = case.input("many_b", if tb { &["t", "b", "n", "k"] } else { &["t", "b", "k", "n"] });
        let product = |fold| Op::MatMul { ta, tb, fold };
        let g = case.g();
        let plain = g.op(product(false), &[a, b]);
        let left = g.op(product(false), &[many_a, b]);
        let right = g.op(product(false), &[a, many_b]);
        let both = g.op(product(false), &[many_a, many_b]);
        let folded = g.op(product(true), &[many_a, many_b]);
        let reversed = g.op(Op::Reverse { axis: 0 }, &[many_a]);
        let backwards = g.op(product(true), &[reversed, many_b]);
        let inner = g.op(Op::Reverse { axis: 1 }, &[many_b]);
        let crossed = g.op(product(false), &[reversed, inner]);
        let turned = g.op(Op::Transpose, &[plain]);
        case.outputs(&[plain, left, right, both, folded, backwards, crossed, turned]);
        case.check();
    }
}

#[test]
fn a_product_of_many_slices() {
    let mut case = Case::new(&[("m", 300), ("k", 200), ("n", 500)]);
    let a = case.input("a", &["m", "k"]);
    let b = case.input("b", &["k", "n"]);
    let g = case.g();
    let wide = g.op(Op::MatMul { ta: false, tb: false, fold: false }, &[a, b]);
    let tall = g.op(Op::MatMul { ta: true, tb: true, fold: false }, &[b, a]);
    case.outputs(&[wide, tall]);
    case.check();
}

#[test]
fn narrow_products() {
    let mut case = Case::new(&[("m", 300), ("k", 70), ("one", 1), ("few", 3), ("t", 2)]);
    let a = case.input("a", &["m", "k"]);
    let column = case.input("column", &["k", "one"]);
    let columns = case.input("columns", &["t", "few", "k"]);
    let row = case.input("row", &["few", "m"]);
    let g = case.g();
    let one = g.op(Op::MatMul { ta: false, tb: false, fold: false }, &[a, column]);
    let few = g.op(Op::MatMul { ta: false, tb: true, fold: false }, &[a, columns]);
    let low = g.op(Op::MatMul { ta: false, tb: false, fold: false }, &[row, a]);
    case.outputs(&[one, few, low]);
    case.check();
}

#[test]
fn products_of_nothing() {
    let mut case = Case::new(&[("none", 0), ("m", 3), ("n", 40), ("t", 2)]);
    let a = case.input("a", &["m", "none"]);
    let b = case.input("b", &["none", "n"]);
    let c = case.input("c", &["none", "m", "t"]);
    let d = case.input("d", &["none", "t", "n"]);
    let g = case.g();
    let plain = g.op(Op::MatMul { ta: false, tb: false, fold: false }, &[a, b]);
    let folded = g.op(Op::MatMul { ta: false, tb: false, fold: true }, &[c, d]);
    case.outputs(&[plain, folded]);
    case.check();
}

#[test]
fn a_matrix_packed_for_a_scan() {
    // Both operands of a product over steps: one matrix, and one for each of the batch.
    for (time, rows) in [(3, 1), (3, 20), (1, 20), (4, 300)] {
        let mut case = Case::new(&[("t", time), ("b", rows), ("k", 300), ("n", 70)]);
        let w = case.input("w", &["n", "k"]);
        let x = case.input("x", &["t", "b", "k"]);
        let mut body = Graph::new();
        let inner = body.arg(case.g().ty(w).clone());
        let step = body.arg(op::Type::real(shape(&[&d("b"), &d("k")])));
        let y = body.op(Op::MatMul { ta: false, tb: true, fold: false }, &[step, inner]);
        body.outputs = vec![y];
        let kind = LoopKind::Scan { time: d("t") };
        let scan = Loop { kind, reversed: false, body, consts: 1, steps: 1, carries: 0, ys: 1, accs: 0 };
        let id = case.g().add_loop(scan, vec![w, x]);
        let y = case.g().get(id, LoopOut::Y(0));
        case.output(y);
        case.check();
    }
}

#[test]
fn rows_by_index() {
    let mut case = Case::new(&[("v", 50), ("e", 40), ("t", 6), ("b", 4)]);
    let table = case.input("table", &["v", "e"]);
    let ids = case.indices("ids", &["t", "b"], 50);
    let narrow = case.indices("narrow", &["t", "b"], 40);
    let ct = case.input("ct", &["t", "b"]);
    let g = case.g();
    let rows = g.op(Op::Gather, &[table, ids]);
    let late = g.op(Op::Slice { axis: 0, start: num(2), len: num(3) }, &[ids]);
    let late = g.op(Op::Reverse { axis: 1 }, &[late]);
    let some = g.op(Op::Gather, &[table, late]);
    let flipped = g.op(Op::Transpose, &[table]);
    let columns = g.op(Op::Gather, &[flipped, narrow]);
    let scattered = g.op(Op::ScatterAdd { rows: d("v") }, &[ids, rows]);
    let picked = g.op(Op::Pick, &[rows, narrow]);
    let spread = g.op(Op::PickGrad { len: d("e") }, &[narrow, ct]);
    case.outputs(&[rows, some, columns, scattered, picked, spread]);
    case.check();
}

#[test]
fn softmax_and_cross_entropy() {
    for v in [1, 7, 1300] {
        let mut case = Case::new(&[("v", v), ("t", 6), ("b", 4)]);
        let x = case.input("x", &["t", "b", "v"]);
        let ids = case.indices("ids", &["t", "b"], v);
        let ct = case.input("ct", &["t", "b"]);
        let g = case.g();
        let ten = g.full(30.0, shape(&[&d("t"), &d("b"), &d("v")]));
        let x = g.mul(x, ten);
        let zero = g.zeros_like(x);
        let mask = g.greater(x, zero);
        let none = g.zeros_like(x);
        let soft = g.op(Op::Softmax, &[x]);
        let masked = g.op(Op::Softmax, &[x, mask]);
        let empty = g.op(Op::Softmax, &[x, none]);
        let log = g.op(Op::LogSoftmax, &[x]);
        let nll = g.op(Op::CrossEntropy, &[x, ids]);
        let grad = g.op(Op::CrossEntropyGrad, &[x, ids, ct]);
        let turned = g.op(Op::Reverse { axis: 2 }, &[x]);
        let turned = g.op(Op::Softmax, &[turned]);
        case.outputs(&[soft, masked, empty, log, nll, grad, turned]);
        case.check();
    }
}

#[test]
fn length_masks() {
    let mut case = Case::new(&[("t", 6), ("b", 40)]);
    let lengths = case.indices("lengths", &["b"], 7);
    let mask = case.g().op(Op::LengthMask { time: d("t") }, &[lengths]);
    case.output(mask);
    case.check();
}

#[test]
fn noise_of_a_site_is_keyed_by_its_element() {
    let mut case = Case::new(&[("t", 3), ("b", 17), ("n", 1500)]);
    for (site, per) in [(0, Per::Step), (1, Per::Sequence)] {
        let u = case.g().uniform(site, per, shape(&[&d("t"), &d("b"), &d("n")]));
        case.output(u);
    }
    case.check();
}
