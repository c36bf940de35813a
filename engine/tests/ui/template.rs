//! Templates without their cells.
use g2_engine::graph;

graph! {
    cell Rnn[batch, hidden] {
        input x: [batch, hidden];
        state h: [batch, hidden];
        next (x + h)
    }
    fn f(x) = x;
    model Layer<Cell>[time, batch, hidden] {
        input x: [time, batch, hidden];
        let s = scan Cell(x);
        output gate = s.gate;
    }
    model Missing = Layer;
    model NotACell = Layer<f>;
    model NoGate = Layer<Rnn>;
}

fn main() {}
