//! Language models: embedding, a stack of recurrent layers, softmax; AWD-LSTM's dropouts.

use g2_engine::graph;

graph! {
    use g2_kernels::cells::{G2Lstm, Lstm, NoisyLstm, SharpenedLstm};

    /// The hidden sequence `[time, batch, features]` for `tokens`, from states carried over from the last window.
    ///
    /// Dropouts as in AWD-LSTM: rows of the embedding (`p_embed`), the embedded sequence (`p_input`), each layer's input
    /// from the second on (`layers.N.p_hidden`; the first one's is the embedded sequence and should be 0), the
    /// recurrent weights (`p_weight`) and the last layer's output (`p_output`).
    pub model LanguageModel<Cell>[time, batch, vocab, embedding, features] {
        input tokens: index [time, batch], targets: index [time, batch];
        param embed: [vocab, embedding], decoder: [vocab, features], bias: [vocab];
        hyper p_embed, p_input, p_output, p_weight;

        let x = locked_dropout(embedding_dropout(embed, tokens, p_embed), p_input);
        let y = stack layers[input -> hidden] over x to features {
            hyper p_hidden;
            let s = scan Cell(locked_dropout(x, p_hidden)) carried drop w_h by p_weight;
            output i = s.i, f = s.f;
            s.h
        };
        let nll = cross_entropy(locked_dropout(y, p_output) @ decoder.t + bias, targets);
        output nll;
        loss mean(nll);
    }

    /// As `LanguageModel`, with the embedding as the softmax's weights: the last layer is as wide as the embedding.
    pub model TiedLanguageModel<Cell>[time, batch, vocab, embedding] {
        input tokens: index [time, batch], targets: index [time, batch];
        param embed: [vocab, embedding], bias: [vocab];
        hyper p_embed, p_input, p_output, p_weight;

        let x = locked_dropout(embedding_dropout(embed, tokens, p_embed), p_input);
        let y = stack layers[input -> hidden] over x to embedding {
            hyper p_hidden;
            let s = scan Cell(locked_dropout(x, p_hidden)) carried drop w_h by p_weight;
            output i = s.i, f = s.f;
            s.h
        };
        let nll = cross_entropy(locked_dropout(y, p_output) @ embed.t + bias, targets);
        output nll;
        loss mean(nll);
    }

    /// Baseline: plain LSTM gates.
    pub model BaselineLm = LanguageModel<Lstm>;
    /// Sharpened gates, temperature `tau`.
    pub model SharpenedLm = LanguageModel<SharpenedLstm>;
    /// Gumbel gates, temperature `tau`.
    pub model G2Lm = LanguageModel<G2Lstm>;
    /// Gumbel gates as in the authors' code: `noise_p`, `epsilon`.
    pub model NoisyLm = LanguageModel<NoisyLstm>;

    /// `BaselineLm` with tied embeddings.
    pub model TiedBaselineLm = TiedLanguageModel<Lstm>;
    /// `SharpenedLm` with tied embeddings.
    pub model TiedSharpenedLm = TiedLanguageModel<SharpenedLstm>;
    /// `G2Lm` with tied embeddings.
    pub model TiedG2Lm = TiedLanguageModel<G2Lstm>;
    /// `NoisyLm` with tied embeddings.
    pub model TiedNoisyLm = TiedLanguageModel<NoisyLstm>;
}
