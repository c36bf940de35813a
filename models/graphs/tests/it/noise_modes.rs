//! What each gate draws, and when: seen through layers whose pre-activations are known, because only the bias is not 0.

use g2_engine::cpu::{Executor, Options};
use g2_engine::{Bindings, Compiled, Fusion, Model, Parameters, Real};
use g2_graphs::layer::*;

const TIME: usize = 6;
const BATCH: usize = 40;
const HIDDEN: usize = 50;
const PER_STEP: usize = BATCH * HIDDEN;
/// The pre-activation of every gate.
const A: f64 = 0.3;
const TAU: f64 = 0.8;
const NOISE_P: f64 = 0.2;
const EPSILON: f64 = 1e-3;

/// The values of gate `gate` at all steps of one run.
fn gates(compiled: &Compiled, gate: &str, step: u64) -> Vec<f64> {
    let sizes = [("time", TIME), ("batch", BATCH), ("input", 1), ("hidden", HIDDEN)];
    let bindings = sizes.into_iter().fold(Bindings::new(), |bindings, (name, size)| bindings.with(name, size));
    let options = Options { threads: 2, fusion: Fusion::Fused, seed: 4 };
    let mut exec = Executor::<f64>::new(compiled, &bindings, options).unwrap();
    for (name, value) in [("tau", TAU), ("noise_p", NOISE_P), ("epsilon", EPSILON)] {
        if compiled.decode().unwrap().leaves.iter().any(|leaf| leaf.name == name) {
            exec.set_hyper(name, value).unwrap();
        }
    }
    let mut params = Parameters::<f64>::new(compiled, &bindings).unwrap();
    params.get_mut("b").unwrap().fill(A);
    exec.forward(&params, step).unwrap();
    exec.output(gate).unwrap().to_vec()
}

fn sampled<M: Model>(gate: &str, step: u64) -> Vec<f64> {
    gates(M::DEFINITION.sampling.unwrap(), gate, step)
}

/// The noise that was added to the pre-activation, recovered from the gate.
fn noise(gate: f64) -> f64 {
    let noise = TAU * Real::logit(gate) - A;
    if noise.abs() < 1e-9 { 0.0 } else { noise }
}

fn noises<M: Model>(step: u64) -> Vec<f64> {
    sampled::<M>("i", step).into_iter().map(noise).collect()
}

#[test]
fn evaluation_is_the_plain_sigmoid_without_tau() {
    for definition in [G2LstmLayer::DEFINITION, G2OutputLstmLayer::DEFINITION, NoisyLstmLayer::DEFINITION] {
        for gate in ["i", "f", "o"] {
            let values = gates(definition.evaluation.unwrap(), gate, 0);
            assert!(values.iter().all(|&g| g == Real::sigmoid(A)), "{} {gate}", definition.name);
        }
    }
}

#[test]
fn sharpened_gates_are_sharp_in_training_and_evaluation() {
    let definition = SharpenedLstmLayer::DEFINITION;
    for compiled in [definition.sampling, definition.evaluation] {
        let sharp: f64 = Real::sigmoid(A / TAU);
        assert!(gates(compiled.unwrap(), "f", 0).iter().all(|&g| g == sharp));
        assert!(gates(compiled.unwrap(), "o", 0).iter().all(|&g| g == Real::sigmoid(A)));
    }
}

#[test]
fn the_paper_perturbs_every_input_and_forget_gate_anew() {
    let first = noises::<G2LstmLayer>(0);
    assert!(first.iter().all(|&n| n != 0.0));
    assert_ne!(first[..PER_STEP], first[PER_STEP..2 * PER_STEP], "each step draws anew");
    assert_ne!(first, noises::<G2LstmLayer>(1), "each training step draws anew");
    assert_eq!(first, noises::<G2LstmLayer>(0), "and the same one the same");
    let forget = sampled::<G2LstmLayer>("f", 0);
    assert_ne!(first, forget.into_iter().map(noise).collect::<Vec<_>>(), "the gates draw apart");
    assert!(sampled::<G2LstmLayer>("o", 0).iter().all(|&g| g == Real::sigmoid(A)), "the output gate is plain");
    assert!(sampled::<G2OutputLstmLayer>("o", 0).iter().any(|&g| g != Real::sigmoid(A)));
    // Logistic noise: mean 0, variance pi^2 / 3.
    let count = first.len() as f64;
    let mean = first.iter().sum::<f64>() / count;
    let variance = first.iter().map(|n| n * n).sum::<f64>() / count;
    let expected = std::f64::consts::PI.powi(2) / 3.0;
    assert!(mean.abs() < 5.0 * (expected / count).sqrt(), "mean {mean}");
    // The logistic law's kurtosis is 4.2, so its square has variance 3.2 expected^2.
    assert!((variance - expected).abs() < 5.0 * expected * (3.2 / count).sqrt(), "variance {variance}");
}

#[test]
fn the_released_code_perturbs_a_share_with_bounded_noise() {
    let noise = noises::<NoisyLstmLayer>(0);
    let perturbed = noise.iter().filter(|&&n| n != 0.0).count() as f64;
    let (expected, deviation) = (NOISE_P * noise.len() as f64, (NOISE_P * (1.0 - NOISE_P) * noise.len() as f64).sqrt());
    assert!((perturbed - expected).abs() < 5.0 * deviation, "{perturbed} of {} perturbed", noise.len());
    let bound = ((1.0 + EPSILON) / EPSILON).ln();
    assert!(noise.iter().all(|n| n.abs() <= bound + 1e-9));
    assert_ne!(noise[..PER_STEP], noise[PER_STEP..2 * PER_STEP]);
}

/// Which elements of one step are perturbed.
fn chosen(step: &[f64]) -> Vec<bool> {
    step.iter().map(|&n| n != 0.0).collect()
}

#[test]
fn the_choice_can_be_kept_for_a_sequence() {
    let noise = noises::<NoisyLockedChoiceLstmLayer>(0);
    let steps: Vec<&[f64]> = noise.chunks(PER_STEP).collect();
    assert!(steps.iter().all(|step| chosen(step) == chosen(steps[0])));
    assert_ne!(steps[0], steps[1], "the noise itself is new at each step");
    assert_ne!(chosen(steps[0]), chosen(&noises::<NoisyLockedChoiceLstmLayer>(1)[..PER_STEP]));
    let fresh = noises::<NoisyLstmLayer>(0);
    assert_ne!(chosen(&fresh[..PER_STEP]), chosen(&fresh[PER_STEP..2 * PER_STEP]), "without it, it is not");
}

#[test]
fn choice_and_noise_can_be_kept_for_a_sequence() {
    let noise = noises::<NoisyLockedLstmLayer>(0);
    assert!(noise.chunks(PER_STEP).all(|step| step == &noise[..PER_STEP]));
    assert_ne!(noise, noises::<NoisyLockedLstmLayer>(1), "the next window draws anew");
    assert!(noise.contains(&0.0) && noise.iter().any(|&n| n != 0.0));
}
