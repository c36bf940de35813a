//! What models compute, by the interpreter, before the passes and after them, against the equations written out.

use super::lower;
use g2_ir::graph::Output;
use g2_ir::interpret::{Context, Draw, Tensor, Value, interpret};
use g2_ir::{Program, Sizes};
use std::collections::BTreeMap;

/// A cell without parameters: `h' = h / 2 + x`.
const HALVING: &str = "
    cell Halving[batch, width] {
        input x: [batch, width];
        state h: [batch, width];
        let before = h;
        let h = h / 2 + x;
        output before;
        next (h)
    }
";

/// What a program is run with.
#[derive(Default)]
struct Run {
    sizes: Vec<(&'static str, usize)>,
    stacks: BTreeMap<String, Vec<usize>>,
    leaves: Vec<(&'static str, Value)>,
}

fn tensor(shape: &[usize], data: &[f64]) -> Value {
    Value::Tensor(Tensor { shape: shape.to_vec(), data: data.to_vec() })
}

/// A uniform for each draw, different for different draws.
fn noise(draw: Draw) -> f64 {
    let k = draw.element + 7 * draw.site as usize + 31 * draw.time.unwrap_or(50) + 101 * draw.layer;
    (k * 37 % 99 + 1) as f64 / 100.0
}

impl Run {
    /// The named outputs and next states of a program and of what the passes make of it, which must agree.
    fn outputs(&self, program: &Program) -> BTreeMap<String, Vec<f64>> {
        let compiled = g2_ir::compile(program.clone()).unwrap();
        let (plain, passed) = (self.interpret(program), self.interpret(&compiled));
        for (name, values) in &plain {
            let near = values.iter().zip(&passed[name]).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(near, "the passes change {name}: {values:?} to {:?}", passed[name]);
        }
        plain
    }

    fn interpret(&self, program: &Program) -> BTreeMap<String, Vec<f64>> {
        let sizes: Sizes = self.sizes.iter().copied().collect();
        let find =
            |name: &str| self.leaves.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no value for {name}"));
        let args: Vec<Value> = program.leaves.iter().map(|l| find(&l.name).1.clone()).collect();
        let values = interpret(&program.graph, &args, &Context::new(sizes, self.stacks.clone(), &noise));
        let name = |output: &Output| match output {
            Output::Loss => Some("loss".to_owned()),
            Output::Named(name) => Some(name.clone()),
            Output::Next(leaf) => Some(format!("next {}", program.leaves[*leaf].name)),
            Output::Grad(_) => None,
        };
        let flat = |value: &Value| match value {
            Value::Tensor(tensor) => tensor.data.clone(),
            Value::Family(layers) => layers.iter().flat_map(|l| l.data.clone()).collect(),
        };
        program.outputs.iter().zip(&values).filter_map(|(o, v)| Some((name(o)?, flat(v)))).collect()
    }
}

#[test]
fn a_gate_is_sampled_in_training_and_a_sigmoid_in_evaluation() {
    let programs = lower("model M[n] { input a: [n]; hyper tau; output y = gate(a, tau); }");
    let run = Run {
        sizes: vec![("n", 3)],
        leaves: vec![("a", tensor(&[3], &[-1.0, 0.0, 2.0])), ("tau", tensor(&[], &[0.5]))],
        ..Run::default()
    };
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    let (sampled, plain) = (run.outputs(&programs.sampling), run.outputs(&programs.evaluation));
    for (k, a) in [-1.0, 0.0, 2.0].into_iter().enumerate() {
        let u = noise(Draw { layer: 0, time: None, site: 0, element: k });
        assert!((sampled["y"][k] - sigmoid((a + (u / (1.0 - u)).ln()) / 0.5)).abs() < 1e-12);
        assert!((plain["y"][k] - sigmoid(a)).abs() < 1e-12);
    }
}

#[test]
fn a_masked_scan_stops_each_row_at_its_length() {
    let scan = |options: &str| {
        let source = format!(
            "{HALVING} model M[time, batch, width] {{
                input x: [time, batch, width], lengths: index [batch], h0: [batch, width];
                let s = scan Halving(x) from (h0) masked lengths {options};
                output y = s.h, before = s.before, end = last(s.h);
            }}"
        );
        let run = Run {
            sizes: vec![("time", 3), ("batch", 2), ("width", 1)],
            leaves: vec![
                ("x", tensor(&[3, 2, 1], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0])),
                ("lengths", tensor(&[2], &[3.0, 1.0])),
                ("h0", tensor(&[2, 1], &[4.0, 40.0])),
            ],
            ..Run::default()
        };
        run.outputs(&lower(&source).sampling)
    };
    // Row 0 takes all three steps, row 1 only the first.
    let forward = scan("");
    assert_eq!(forward["y"], [3.0, 30.0, 3.5, 30.0, 4.75, 30.0]);
    assert_eq!(forward["before"], [4.0, 40.0, 3.0, 30.0, 3.5, 30.0]);
    assert_eq!(forward["end"], [4.75, 30.0]);
    // From the last step to the first; results stand at their steps.
    let backward = scan(", reversed");
    assert_eq!(backward["y"], [3.25, 30.0, 4.5, 40.0, 5.0, 40.0]);
    assert_eq!(backward["end"], [3.25, 30.0]);
}

#[test]
fn a_stack_carries_the_states_of_each_layer() {
    let source = format!(
        "{HALVING} model M[time, batch, n] {{
            input x: [time, batch, n], shift: [];
            let scaled = 2 * shift;
            let y = stack layers[input -> hidden] over x to n {{
                param w: [input, hidden];
                let s = scan Halving(x @ w + scaled - 2 * shift) carried;
                output before = s.before;
                s.h
            }};
            output y;
        }}"
    );
    let run = Run {
        sizes: vec![("time", 2), ("batch", 1), ("n", 1)],
        stacks: BTreeMap::from([("layers".to_owned(), vec![2, 1])]),
        leaves: vec![
            ("x", tensor(&[2, 1, 1], &[1.0, 2.0])),
            ("shift", tensor(&[], &[0.5])),
            (
                "layers.w",
                Value::Family(vec![
                    Tensor { shape: vec![1, 2], data: vec![1.0, 10.0] },
                    Tensor { shape: vec![2, 1], data: vec![1.0, 1.0] },
                ]),
            ),
            (
                "layers.h",
                Value::Family(vec![
                    Tensor { shape: vec![1, 2], data: vec![2.0, 4.0] },
                    Tensor { shape: vec![1, 1], data: vec![8.0] },
                ]),
            ),
        ],
    };
    let found = run.outputs(&lower(&source).sampling);
    // Layer 0: [2, 4] -> [2, 12] -> [3, 26]; layer 1: 8 -> 4 + 14 -> 9 + 29.
    assert_eq!(found["y"], [18.0, 38.0]);
    assert_eq!(found["next layers.h"], [3.0, 26.0, 38.0]);
    assert_eq!(found["layers.before"], [2.0, 4.0, 2.0, 12.0, 8.0, 18.0]);
}

#[test]
fn dropouts_keep_and_scale_by_the_probability() {
    let programs = lower(
        "model M[time, n] {
            input x: [time, n];
            hyper p;
            output fresh = dropout(x, p), locked = locked_dropout(x, p);
        }",
    );
    let x = [1.0, 2.0, 3.0, 4.0];
    let run = Run {
        sizes: vec![("time", 2), ("n", 2)],
        leaves: vec![("x", tensor(&[2, 2], &x)), ("p", tensor(&[], &[0.25]))],
        ..Run::default()
    };
    let kept = |site, element| noise(Draw { layer: 0, time: None, site, element }) < 0.75;
    let dropped = |x: f64, kept: bool| if kept { x / 0.75 } else { 0.0 };
    let found = run.outputs(&programs.sampling);
    for (k, x) in x.into_iter().enumerate() {
        assert!((found["fresh"][k] - dropped(x, kept(0, k))).abs() < 1e-12);
        assert!((found["locked"][k] - dropped(x, kept(1, k % 2))).abs() < 1e-12);
    }
    let plain = run.outputs(&programs.evaluation);
    assert_eq!((&plain["fresh"][..], &plain["locked"][..]), (&x[..], &x[..]));
}

#[test]
fn a_dropped_weight_is_the_same_at_every_step() {
    let source = "
        cell Sum[batch, n] { input x: [batch, n]; state h: [batch, n]; param w: [n]; next (h + x * w) }
        model M[time, batch, n] {
            input x: [time, batch, n];
            hyper p;
            let s = scan Sum(x) drop w by p;
            output end = last(s.h);
        }";
    let run = Run {
        sizes: vec![("time", 3), ("batch", 1), ("n", 2)],
        leaves: vec![
            ("x", tensor(&[3, 1, 2], &[1.0; 6])),
            ("w", tensor(&[2], &[5.0, 7.0])),
            ("p", tensor(&[], &[0.5])),
        ],
        ..Run::default()
    };
    let found = run.outputs(&lower(source).sampling);
    let weight = |w: f64, element| {
        let u = noise(Draw { layer: 0, time: None, site: 0, element });
        if u < 0.5 { w / 0.5 } else { 0.0 }
    };
    // One of them is kept.
    assert!((weight(5.0, 0) > 0.0) != (weight(7.0, 1) > 0.0));
    for (k, w) in [5.0, 7.0].into_iter().enumerate() {
        assert!((found["end"][k] - 3.0 * weight(w, k)).abs() < 1e-9);
    }
}

#[test]
fn reductions_divide_by_what_they_sum() {
    let programs = lower(
        "model M[a, b] {
            input x: [a, b];
            output all = mean(x), rows = mean(x, axis = -1), columns = sum(x, axis = 0), reversed = reverse(x, axis = 0);
        }",
    );
    let run = Run {
        sizes: vec![("a", 2), ("b", 3)],
        leaves: vec![("x", tensor(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))],
        ..Run::default()
    };
    let found = run.outputs(&programs.sampling);
    assert_eq!(found["all"], [3.5]);
    assert_eq!(found["rows"], [2.0, 5.0]);
    assert_eq!(found["columns"], [5.0, 7.0, 9.0]);
    assert_eq!(found["reversed"], [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_cell_without_states_maps_the_steps() {
    let source = "
        cell Map[batch] { input x: [batch]; output y = 2 * x; }
        model M[time, batch] { input x: [time, batch]; let s = scan Map(x) reversed; output y = s.y; output z = y + 1; }";
    let run = Run {
        sizes: vec![("time", 3), ("batch", 1)],
        leaves: vec![("x", tensor(&[3, 1], &[1.0, 2.0, 3.0]))],
        ..Run::default()
    };
    assert_eq!(run.outputs(&lower(source).sampling)["z"], [3.0, 5.0, 7.0]);
}
