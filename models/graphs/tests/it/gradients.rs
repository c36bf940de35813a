//! Every cell and language model: interpreter = unfused = fused, and the f64 gradient check with noise and dropouts on.

use g2_engine::check::Trial;
use g2_engine::{Bindings, Definition, Model};
use g2_graphs::language_model::*;
use g2_graphs::layer::*;

const HYPERS: [(&str, f64); 9] = [
    ("tau", 0.9),
    ("noise_p", 0.6),
    ("epsilon", 1e-3),
    ("p_embed", 0.2),
    ("p_input", 0.3),
    ("p_output", 0.4),
    ("p_weight", 0.5),
    ("layers.0.p_hidden", 0.1),
    ("layers.1.p_hidden", 0.35),
];

fn check(definition: &Definition, bindings: &Bindings, vocab: usize) {
    for seed in 0..2 {
        for compiled in [definition.training, definition.sampling, definition.evaluation] {
            let compiled = compiled.expect("a model with a loss has all three graphs");
            let trial = Trial::random(compiled, bindings, &HYPERS, vocab, seed).unwrap();
            trial.agree().unwrap_or_else(|error| panic!("{}: {error}", definition.name));
        }
        let training = definition.training.expect("a model with a loss");
        let error = Trial::random(training, bindings, &HYPERS, vocab, seed).unwrap().gradient_error(3).unwrap();
        assert!(error <= 1e-6, "relative error {error:.1e} of {}", definition.name);
    }
}

#[test]
fn layers_of_every_cell() {
    let layers = [
        LstmLayer::DEFINITION,
        SharpenedLstmLayer::DEFINITION,
        G2LstmLayer::DEFINITION,
        G2OutputLstmLayer::DEFINITION,
        NoisyLstmLayer::DEFINITION,
        NoisyLockedChoiceLstmLayer::DEFINITION,
        NoisyLockedLstmLayer::DEFINITION,
    ];
    for (time, batch, input, hidden) in [(4, 3, 5, 6), (1, 1, 1, 1), (2, 2, 3, 33)] {
        let sizes = [("time", time), ("batch", batch), ("input", input), ("hidden", hidden)];
        let bindings = sizes.into_iter().fold(Bindings::new(), |bindings, (name, size)| bindings.with(name, size));
        layers.iter().for_each(|layer| check(layer, &bindings, 1));
    }
}

#[test]
fn two_layer_models_with_noise_and_every_dropout() {
    let bindings = Bindings::new().with("time", 4).with("batch", 3).with("vocab", 11).with("embedding", 5);
    let untied = bindings.clone().with("features", 4).stack("layers", [6, 4]);
    let tied = bindings.stack("layers", [6, 5]);
    for model in [BaselineLm::DEFINITION, SharpenedLm::DEFINITION, G2Lm::DEFINITION, NoisyLm::DEFINITION] {
        check(model, &untied, 11);
    }
    let tied_models =
        [TiedBaselineLm::DEFINITION, TiedSharpenedLm::DEFINITION, TiedG2Lm::DEFINITION, TiedNoisyLm::DEFINITION];
    for model in tied_models {
        check(model, &tied, 11);
    }
}
