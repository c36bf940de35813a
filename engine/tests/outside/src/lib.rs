//! Two cells of one's own, a GRU and a peephole LSTM, and a model that either can stand in: it reads a sequence of
//! symbols and says at the end which one came first.

use g2_engine::cpu::{Executor, Options};
use g2_engine::optim::Sgd;
use g2_engine::{Bindings, Definition, Error, Fusion, Parameters, graph};

graph! {
    /// Gated recurrent unit (Cho et al. 2014), the reset gate behind the product as in cuDNN.
    pub cell Gru[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden];
        param w_x: [3 * hidden, input], w_h: [3 * hidden, hidden], b_x: [3 * hidden], b_h: [3 * hidden];

        let [r_x, z_x, n_x] = split(x @ w_x.t + b_x);
        let [r_h, z_h, n_h] = split(h @ w_h.t + b_h);
        let r = sigmoid(r_x + r_h);
        let z = sigmoid(z_x + z_h);
        let n = tanh(n_x + r * n_h);
        next ((1 - z) * n + z * h)
    }

    /// LSTM whose gates see the cell state (Gers & Schmidhuber 2000).
    pub cell PeepholeLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        param p_i: [hidden], p_f: [hidden], p_o: [hidden];

        let [i, f, g, o] = split(x @ w_x.t + h @ w_h.t + b);
        let i = sigmoid(i + p_i * c);
        let f = sigmoid(f + p_f * c);
        let c = f * c + i * tanh(g);
        let o = sigmoid(o + p_o * c);
        next (o * tanh(c), c)
    }

    /// Which symbol came first?
    pub model FirstSymbol<Cell>[time, batch, symbols, hidden] {
        input tokens: index [time, batch], first: index [batch];
        param embed: [symbols, hidden], decoder: [symbols, hidden];
        hyper p;

        let s = scan Cell(locked_dropout(embedding(embed, tokens), p));
        let logits = last(s.h) @ decoder.t;
        output scores = logits;
        loss mean(cross_entropy(logits, first));
    }

    /// With a GRU.
    pub model GruFirstSymbol = FirstSymbol<Gru>;
    /// With a peephole LSTM.
    pub model PeepholeFirstSymbol = FirstSymbol<PeepholeLstm>;
}

/// Steps of a sequence, sequences of a batch, symbols, units.
const SIZES: [(&str, usize); 4] = [("time", 8), ("batch", 32), ("symbols", 6), ("hidden", 24)];

/// Trains a model for `steps` steps; returns its losses and the share of new sequences that it then gets right.
///
/// # Errors
/// The engine's.
pub fn train(definition: &'static Definition, steps: u64) -> Result<(Vec<f32>, f64), Error> {
    let bindings = SIZES.iter().fold(Bindings::new(), |bindings, &(name, size)| bindings.with(name, size));
    let [(_, time), (_, batch), (_, symbols), _] = SIZES;
    let options = Options { threads: 2, fusion: Fusion::Fused, seed: 1 };
    let training = definition.training.expect("the model has a loss");
    let mut learner = Executor::<f32>::new(training, &bindings, options)?;
    learner.set_hyper("p", 0.1)?;
    let mut parameters = Parameters::<f32>::new(training, &bindings)?;
    let mut gradients = parameters.zeros_like();
    let mut random = random_numbers(7);
    parameters.as_mut_slice().iter_mut().for_each(|p| *p = (random() as f32 / 2f32.powi(31) - 1.0) * 0.3);

    let mut losses = Vec::new();
    for step in 0..steps {
        let tokens: Vec<u32> = (0..time * batch).map(|_| random() % symbols as u32).collect();
        learner.set_index("tokens", &tokens)?;
        learner.set_index("first", &tokens[..batch])?;
        learner.forward(&parameters, step)?;
        losses.push(learner.loss());
        learner.backward(&parameters, &mut gradients)?;
        Sgd { lr: 1.0, clip: 1.0 }.step(parameters.as_mut_slice(), gradients.as_slice());
    }

    let evaluation = definition.evaluation.expect("every model can be evaluated");
    let mut examiner = Executor::<f32>::new(evaluation, &bindings, options)?;
    let tokens: Vec<u32> = (0..time * batch).map(|_| random() % symbols as u32).collect();
    examiner.set_hyper("p", 0.1)?;
    examiner.set_index("tokens", &tokens)?;
    examiner.set_index("first", &tokens[..batch])?;
    examiner.forward(&parameters, 0)?;
    let scores = examiner.output("scores")?;
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let right = scores.chunks(symbols).zip(&tokens).filter(|(row, first)| best(row) == Some(**first as usize)).count();
    Ok((losses, right as f64 / batch as f64))
}

/// A generator good enough for toy data.
fn random_numbers(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32 * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use g2_engine::Model;
    use g2_engine::check::Trial;

    #[test]
    fn cells_of_ones_own_are_correct() {
        for definition in [GruFirstSymbol::DEFINITION, PeepholeFirstSymbol::DEFINITION] {
            let bindings = Bindings::new().with("time", 3).with("batch", 2).with("symbols", 4).with("hidden", 5);
            for compiled in [definition.training, definition.sampling, definition.evaluation] {
                let trial = Trial::random(compiled.unwrap(), &bindings, &[], 4, 3).unwrap();
                trial.agree().unwrap_or_else(|error| panic!("{}: {error}", definition.name));
            }
            let training = Trial::random(definition.training.unwrap(), &bindings, &[], 4, 3).unwrap();
            assert!(training.gradient_error(3).unwrap() <= 1e-6);
        }
    }

    #[test]
    fn cells_of_ones_own_learn() {
        for definition in [GruFirstSymbol::DEFINITION, PeepholeFirstSymbol::DEFINITION] {
            let (losses, right) = train(definition, 2500).unwrap();
            let (early, late) = (losses[0], losses[losses.len() - 20..].iter().sum::<f32>() / 20.0);
            println!("{}: loss {early:.3} -> {late:.3}, {:.0}% right", definition.name, 100.0 * right);
            assert!(late < 0.2 * early && right > 0.9, "{}: {early} -> {late}, {right}", definition.name);
        }
    }
}
