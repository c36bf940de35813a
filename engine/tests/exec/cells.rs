//! Models from the macro, for what hand-built programs cannot have: fused kernels.

#![allow(missing_docs, reason = "test models")]

use g2_engine::graph;

graph! {
    pub fn gumbel_gate(a, tau) = sigmoid((a + logit(uniform())) / tau);

    pub cell Gumbel[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau;

        let [i, f, g, o] = split(x @ w_x.t + h @ w_h.t + b);
        let c = gumbel_gate(f, tau) * c + gumbel_gate(i, tau) * tanh(g);
        let h = sigmoid(o) * tanh(c);
        next (h, c)
    }

    pub model Tagger[time, batch, vocab, embedding, features] {
        input tokens: index [time, batch], targets: index [time, batch];
        param embed: [vocab, embedding], decoder: [vocab, features], bias: [vocab];

        let x = embedding(embed, tokens);
        let y = stack layers[input -> hidden] over x to features {
            let s = scan Gumbel(x) carried;
            s.h
        };
        let nll = cross_entropy(y @ decoder.t + bias, targets);
        output nll;
        loss mean(nll);
    }
}
