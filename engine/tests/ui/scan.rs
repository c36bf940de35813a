//! Cells and scans that do not fit.
use g2_engine::graph;

graph! {
    cell Rnn[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden];
        param w: [hidden, input];
        next (tanh(x @ w.t + h))
    }
    model Rank[batch, input, hidden] {
        input x: [batch, input];
        let s = scan Rnn(x);
        loss sum(s.h);
    }
    model Undetermined[time, batch, width] {
        input x: [time, batch, width];
        let s = scan Rnn(x);
        loss sum(s.h);
    }
    model Twice[time, batch, hidden] {
        input x: [time, batch, hidden];
        let a = scan Rnn(x);
        let b = scan Rnn(a.h);
        loss sum(b.h);
    }
    model Field[time, batch, input, hidden] {
        input x: [time, batch, input];
        let s = scan Rnn(x) carried, reversed;
        loss sum(s.c);
    }
}

fn main() {}
