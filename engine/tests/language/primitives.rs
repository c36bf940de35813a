//! Every primitive of the language, alone: all executors agree, and its gradient is that of its differences.

use g2_engine::check::Trial;
use g2_engine::{Bindings, Model, graph};

/// One small model and one test for each line.
macro_rules! models {
    ($($test:ident $model:ident { $($body:tt)* })*) => {
        mod items {
            use super::*;
            graph! {
                /// Attends to a memory: a cell that reads an outer tensor.
                pub cell Attend[batch, width, source] {
                    input x: [batch, width];
                    outer memory: [batch, source, width];
                    state h: [batch, width];
                    param w: [width, width];
                    let query = tanh(x + h @ w);
                    let scores = sum(memory * broadcast(query, [batch, source, width]), axis = -1);
                    let weights = softmax(scores);
                    let context = remove(insert(weights, axis = 1) @ memory, axis = 1);
                    output weights;
                    next (tanh(context + query))
                }

                /// Reads the whole of the sequence that it is scanned over.
                pub cell Whole[batch, width, steps] {
                    input x: [batch, width];
                    outer all: [steps, batch, width];
                    state h: [batch, width];
                    next (tanh(x + h + mean(all, axis = 0) * sum(all)))
                }

                $(
                    #[doc = concat!("Checked by `", stringify!($test), "`.")]
                    pub model $model[time, batch, width] { $($body)* }
                )*
            }
        }

        $(#[test]
        fn $test() {
            check::<items::$model>();
        })*
    };
}

fn check<M: Model>() {
    for (time, batch, width) in [(3, 2, 4), (1, 1, 1), (2, 3, 17)] {
        let bindings = Bindings::new().with("time", time).with("batch", batch).with("width", width);
        let bindings = bindings.stack("layers", vec![2 * width, width + 1, width]);
        for seed in 1..3 {
            let definition = M::DEFINITION;
            for compiled in [definition.training, definition.sampling, definition.evaluation].into_iter().flatten() {
                let trial = Trial::random(compiled, &bindings, &[], width, seed).unwrap();
                trial.agree().unwrap_or_else(|error| panic!("{error}"));
            }
            let training = definition.training.expect("a model with a loss");
            let trial = Trial::random(training, &bindings, &[], width, seed).unwrap();
            let error = trial.gradient_error(2).unwrap();
            assert!(error <= 1e-6, "relative error {error:.1e} of {}", definition.name);
        }
    }
}

models! {
    neg Neg { param a: [width], b: [width]; loss sum(-a * b); }
    add_sub AddSub { param a: [batch, width], b: [width]; hyper s; loss sum(square(a + b - s * a + 2)); }
    mul_div MulDiv { param a: [width], b: [width]; loss sum(a * b / (2 + b)); }
    exp Exp { param a: [width], b: [width]; loss sum(exp(a) * b); }
    ln Ln { param a: [width], b: [width]; loss sum(ln(square(a) + 0.5) * b); }
    logit Logit { param a: [width], b: [width]; loss sum(logit(0.5 + a / 4) * b); }
    sigmoid Sigmoid { param a: [width], b: [width]; loss sum(sigmoid(4 * a) * b); }
    tanh Tanh { param a: [width], b: [width]; loss sum(tanh(4 * a) * b); }
    relu Relu { param a: [width], b: [width]; loss sum(relu(a) * b); }
    square Square { param a: [width], b: [width]; loss sum(square(a) * b); }
    sqrt Sqrt { param a: [width], b: [width]; loss sum(sqrt(square(a) + 0.5) * b); }
    max Max { param a: [width], b: [width]; loss sum(max(a, b) * a); }
    compare_select CompareSelect { param a: [width], b: [width]; loss sum(select(a < b, a * b, b) + (a > b) * square(a)); }
    uniform Uniform { param a: [batch, width]; loss sum(sigmoid((a + logit(uniform())) / 0.9) * a); }
    locked_uniform LockedUniform { param a: [batch, width]; loss sum(a * a * locked_uniform()); }
    product Product { param a: [batch, width], w: [3 * width, width]; loss sum(tanh(a @ w.t)); }
    product_first_transposed ProductFirstTransposed { param a: [width, batch], w: [width, 3]; loss sum(tanh(a.t @ w)); }
    product_both_transposed ProductBothTransposed { param a: [width, batch], w: [3, width]; loss sum(tanh(a.t @ w.t)); }
    product_over_time ProductOverTime { param a: [time, batch, width], w: [width, 5]; loss sum(tanh(a @ w)); }
    product_batched ProductBatched { param a: [time, batch, width], b: [time, 5, width]; loss sum(tanh(a @ b.t)); }
    product_left_shared ProductLeftShared { param a: [batch, width], b: [time, width, 2]; loss sum(tanh(a @ b)); }
    split_concat SplitConcat {
        param a: [batch, 3 * width];
        let [x, y, z] = split(a);
        let [p, q] = split(concat(z, x, y), [2 * width, width]);
        loss sum(p * concat(q, y)) + sum(tanh(x));
    }
    split_first_axis SplitFirstAxis {
        param a: [2 * time, width];
        let [x, y] = split(a, axis = 0);
        loss sum(x * tanh(y)) + sum(square(concat(y, x, axis = 0)));
    }
    slice_reverse SliceReverse {
        param a: [time, batch, 2 * width];
        let x = slice(a, width, width);
        loss sum(x * reverse(x, axis = 0)) + sum(slice(a, 0, width) * reverse(x, axis = 2));
    }
    broadcast Broadcast {
        param a: [batch], b: [width];
        loss sum(broadcast(a, [batch, width]) * tanh(b) + b);
    }
    sums_and_means SumsAndMeans {
        param a: [time, batch, width];
        let rows = sum(a, axis = -1);
        loss sum(square(rows)) + sum(square(sum(a, axes = [0, 2]))) + mean(square(mean(a, axis = 1))) + mean(a);
    }
    embedding Embedding {
        input ids: index [time, batch];
        param table: [width, 3];
        output rows = embedding(table, ids);
        loss sum(square(embedding(table, ids)));
    }
    masked_softmax MaskedSoftmax {
        input counts: index [batch];
        param a: [width, batch], b: [batch, width];
        let mask = length_mask(counts, width);
        output weights = softmax(a.t, mask.t);
        loss sum(softmax(a.t, mask.t) * b) + sum(softmax(b) * b);
    }
    log_softmax LogSoftmax {
        input ids: index [batch];
        param a: [batch, width], b: [batch, width];
        loss sum(log_softmax(a) * b) + sum(pick(log_softmax(b), ids));
    }
    cross_entropy CrossEntropy {
        input ids: index [time, batch];
        param a: [time, batch, width];
        output nll = cross_entropy(a, ids);
        loss mean(cross_entropy(a, ids)) + sum(square(cross_entropy(2 * a, ids)));
    }
    insert_remove InsertRemove {
        param a: [batch, width], w: [width, 3];
        loss sum(tanh(remove(insert(a, axis = 1) @ w, axis = 1)));
    }
    dropout Dropout { param a: [time, batch, width]; hyper p; loss sum(square(dropout(a, p))); }
    locked_dropout LockedDropout { param a: [time, batch, width]; hyper p; loss sum(square(locked_dropout(a, p))); }
    embedding_dropout EmbeddingDropout {
        input ids: index [time, batch];
        param table: [width, 3];
        hyper p;
        loss sum(square(embedding_dropout(table, ids, p)));
    }
    weight_drop WeightDrop {
        param a: [batch, width], w: [width, width];
        hyper p;
        loss sum(tanh(a @ weight_drop(w, p)));
    }
    scan_with_memory ScanWithMemory {
        input x: [time, batch, width];
        param memory: [batch, 3, width], h: [batch, width];
        let s = scan Attend(x, memory = memory) from (tanh(h));
        output weights = s.weights;
        loss sum(square(s.h)) + sum(s.weights * s.weights * s.weights) + sum(last(s.h));
    }
    scan_reversed_and_masked ScanReversedAndMasked {
        input lengths: index [batch];
        param x: [time, batch, width], memory: [batch, 2, width];
        let there = scan Attend(x, memory) masked lengths drop w by 0.4;
        let back = scan Attend(there.h, memory) reversed masked lengths as back;
        loss sum(square(back.h) * there.h) + sum(last(there.h) * last(back.h));
    }
    scanned_and_read_whole ScannedAndReadWhole {
        param x: [time, batch, width];
        let s = scan Whole(x, all = x);
        loss sum(square(s.h) * x);
    }
    one_draw_inside_and_outside OneDrawInsideAndOutside {
        param x: [time, batch, width];
        let u = uniform();
        let v = x * u;
        let y = stack layers[input -> hidden] over x = x * u to width {
            param w: [input, hidden];
            let z = sum(u * v, axis = -1);
            (x @ w) * broadcast(z, [time, batch, hidden])
        };
        loss sum(tanh(y));
    }
    stack_of_scans StackOfScans {
        param x: [time, batch, width], memory: [batch, 2, width];
        hyper p_in;
        let y = stack layers[input -> hidden] over x to width {
            param u: [input, hidden], m: [width, hidden];
            hyper p;
            let s = scan Attend(tanh(locked_dropout(x, p) @ u), memory = memory @ m) carried;
            output weights = s.weights;
            s.h
        };
        loss sum(square(dropout(y, p_in)));
    }
}
