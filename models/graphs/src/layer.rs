//! One layer over a sequence, with the sum of its outputs as the loss: what benchmarks time and gradient checks differ.

use g2_engine::graph;

graph! {
    use g2_kernels::cells::{
        G2Lstm, G2OutputLstm, Lstm, NoisyLockedChoiceLstm, NoisyLockedLstm, NoisyLstm, SharpenedLstm,
    };

    /// `Cell` run over `x` from zero states; the loss is the sum of all its outputs `y`. Its gates are outputs too.
    pub model Layer<Cell>[time, batch, input, hidden] {
        input x: [time, batch, input];
        let s = scan Cell[hidden = hidden](x);
        output y = s.h, i = s.i, f = s.f, o = s.o;
        loss sum(s.h);
    }

    /// A layer of `Lstm`.
    pub model LstmLayer = Layer<Lstm>;
    /// A layer of `SharpenedLstm`.
    pub model SharpenedLstmLayer = Layer<SharpenedLstm>;
    /// A layer of `G2Lstm`.
    pub model G2LstmLayer = Layer<G2Lstm>;
    /// A layer of `G2OutputLstm`.
    pub model G2OutputLstmLayer = Layer<G2OutputLstm>;
    /// A layer of `NoisyLstm`.
    pub model NoisyLstmLayer = Layer<NoisyLstm>;
    /// A layer of `NoisyLockedChoiceLstm`.
    pub model NoisyLockedChoiceLstmLayer = Layer<NoisyLockedChoiceLstm>;
    /// A layer of `NoisyLockedLstm`.
    pub model NoisyLockedLstmLayer = Layer<NoisyLockedLstm>;
}
