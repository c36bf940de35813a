//! Training: one batch is learnt by heart, and weight drop acts where a recurrence does.

use g2_engine::cpu::{Executor, Options};
use g2_engine::optim::Sgd;
use g2_engine::{Bindings, Compiled, Fusion, Model, Parameters};
use g2_graphs::language_model::{BaselineLm, G2Lm, TiedNoisyLm};

const TIME: usize = 8;
const BATCH: usize = 4;
const VOCAB: usize = 12;
const WIDTH: usize = 32;
const HYPERS: [(&str, f64); 9] = [
    ("tau", 0.9),
    ("noise_p", 0.2),
    ("epsilon", 1e-3),
    ("p_embed", 0.0),
    ("p_input", 0.0),
    ("p_output", 0.0),
    ("p_weight", 0.0),
    ("layers.0.p_hidden", 0.0),
    ("layers.1.p_hidden", 0.0),
];

struct Learner {
    exec: Executor<f32>,
    parameters: Parameters<f32>,
}

impl Learner {
    /// A model of two layers on one random batch, its parameters uniform on (-0.3, 0.3).
    fn new(compiled: &Compiled) -> Learner {
        let bindings = Bindings::new().with("time", TIME).with("batch", BATCH).with("vocab", VOCAB);
        let bindings = bindings.with("embedding", WIDTH).with("features", WIDTH).stack("layers", [WIDTH, WIDTH]);
        let options = Options { threads: 2, fusion: Fusion::Fused, seed: 9 };
        let mut exec = Executor::new(compiled, &bindings, options).unwrap();
        let leaves = compiled.decode().unwrap().leaves;
        for (name, value) in HYPERS {
            if name.starts_with("layers.") || leaves.iter().any(|leaf| leaf.name == name) {
                exec.set_hyper(name, value).unwrap();
            }
        }
        let mut state = 17_u32;
        let mut random = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state >> 8
        };
        let tokens: Vec<u32> = (0..TIME * BATCH).map(|_| random() % VOCAB as u32).collect();
        let targets: Vec<u32> = (0..TIME * BATCH).map(|_| random() % VOCAB as u32).collect();
        exec.set_index("tokens", &tokens).unwrap();
        exec.set_index("targets", &targets).unwrap();
        let mut parameters = Parameters::new(compiled, &bindings).unwrap();
        parameters.as_mut_slice().iter_mut().for_each(|p| *p = (random() as f32 / (1 << 23) as f32 - 1.0) * 0.3);
        Learner { exec, parameters }
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    for (definition, most) in [(BaselineLm::DEFINITION, 0.02), (G2Lm::DEFINITION, 0.3), (TiedNoisyLm::DEFINITION, 0.3)]
    {
        let Learner { mut exec, mut parameters } = Learner::new(definition.training.unwrap());
        let mut gradients = parameters.zeros_like();
        let mut losses = Vec::new();
        for step in 0..1500 {
            exec.reset_states();
            exec.forward(&parameters, step).unwrap();
            losses.push(exec.loss());
            exec.backward(&parameters, &mut gradients).unwrap();
            Sgd { lr: 1.0, clip: 1.0 }.step(parameters.as_mut_slice(), gradients.as_slice());
        }
        let late = losses[losses.len() - 50..].iter().sum::<f32>() / 50.0;
        assert!(losses[0] > 2.0 && late < most, "{}: {} -> {late}", definition.name, losses[0]);
    }
}

#[test]
fn weight_drop_changes_outputs_from_the_second_step_on() {
    let definition = BaselineLm::DEFINITION;
    let nll = |p: f64| {
        let Learner { mut exec, parameters } = Learner::new(definition.sampling.unwrap());
        exec.set_hyper("p_weight", p).unwrap();
        exec.forward(&parameters, 0).unwrap();
        exec.output("nll").unwrap().to_vec()
    };
    let (plain, dropped) = (nll(0.0), nll(0.5));
    let (first, rest) = plain.split_at(BATCH);
    assert_eq!(first, &dropped[..BATCH], "at the first step there is no state for the weights to act on");
    for (step, (a, b)) in rest.chunks(BATCH).zip(dropped[BATCH..].chunks(BATCH)).enumerate() {
        assert!(a.iter().zip(b).all(|(a, b)| a != b), "step {}", step + 2);
    }
}
