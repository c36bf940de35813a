//! Random models, written by `random_source.rs`: run the tests with `G2_BLESS=1` to write them again.

use g2_engine::graph;

graph! {
    /// Random cell 0.
    pub cell Cell0[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = locked_dropout(x, 0.3);
        let v3 = x * locked_uniform();
        let v4 = logit(sigmoid(h));
        let v5 = tanh(h @ matrix.t);
        let v6 = h * h;
        let v7 = sigmoid((v2 + logit(uniform())) / tau);
        let v8 = locked_dropout(x, 0.3);
        let v9 = select(v4 > x, v4, tau * x);
        let v10 = relu(v3);
        let v11 = v3 / exp(tanh(v3));
        output y = v11;
        next (tanh(v11 + x + h @ matrix + vector * tau))
    }

    /// Random model 0.
    pub model Random0[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = -square(x);
        let v2 = x * uniform();
        let v3 = v1 / exp(tanh(v2));
        let v4 = select(v2 > v3, v2, tau * v3);
        let s = scan Cell0(v4) as inner;
        let v2 = mean(s.y) - s.h;
        let v3 = concat(slice(s.y, half, half), slice(v2, 0, half));
        let v4 = tanh(s.h);
        let v5 = select(s.y > s.h, s.y, tau * s.h);
        let v6 = tanh(broadcast(sum(s.y, axis = -1), [time, batch, 2 * half]));
        let v7 = v4 - v2;
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v7;
        loss mean(tanh(v7) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 1.
    pub cell Cell1[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = sigmoid((h + logit(uniform())) / tau);
        let v3 = -square(v2);
        let v4 = v2 * locked_uniform();
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 1.
    pub model Random1[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = mean(x) - x;
        let v2 = sigmoid(v1);
        let v3 = v2 * x;
        let v4 = logit(sigmoid(x));
        let s = scan Cell1(v4) as inner;
        let v2 = s.y * locked_uniform();
        let v3 = select(s.h > s.y, s.h, tau * s.y);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v3;
        loss mean(tanh(v3) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 2.
    pub cell Cell2[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(broadcast(sum(x, axis = -1), [batch, 2 * half]));
        let v3 = dropout(v2, 0.3);
        let v4 = dropout(v3, 0.3);
        let v5 = relu(v2);
        let v6 = -square(v5);
        let v7 = logit(sigmoid(v3));
        let v8 = tanh(v3);
        let v9 = tanh(v6);
        let v10 = logit(sigmoid(v6));
        let v11 = max(v2, v3);
        let v12 = max(v9, v9);
        output y = v12;
        next (tanh(v12 + x + h @ matrix + vector * tau))
    }

    /// Random model 2.
    pub model Random2[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = tanh(x @ matrix.t);
        let v2 = -square(x);
        let s = scan Cell2(v2) reversed masked lengths as inner;
        let v2 = s.y / exp(tanh(s.y));
        let v3 = s.h + vector;
        let v4 = -square(s.y);
        let v5 = relu(v4);
        let v6 = reverse(s.h, axis = 0);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v6;
        loss mean(tanh(v6) * weight) + sum(tanh(v2)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 3.
    pub cell Cell3[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = h + x;
        let v3 = concat(slice(v2, half, half), slice(v2, 0, half));
        let v4 = sigmoid((x + logit(uniform())) / tau);
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 3.
    pub model Random3[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = sigmoid(x);
        let v2 = x + v1;
        let v3 = concat(slice(v2, half, half), slice(v1, 0, half));
        let v4 = tanh(x @ matrix.t);
        let v5 = tanh(v3 @ matrix.t);
        let s = scan Cell3(v5) as inner;
        let v2 = ln(sqrt(sigmoid(s.y)));
        let v3 = log_softmax(s.y);
        let v4 = logit(sigmoid(v2));
        let v5 = sigmoid((s.y + logit(uniform())) / tau);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v5;
        loss mean(tanh(v5) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 4.
    pub cell Cell4[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = select(x > x, x, tau * x);
        let v3 = tanh(broadcast(sum(x, axis = -1), [batch, 2 * half]));
        output y = v3;
        next (tanh(v3 + x + h @ matrix + vector * tau))
    }

    /// Random model 4.
    pub model Random4[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = reverse(x, axis = 0);
        let v2 = ln(sqrt(sigmoid(x)));
        let v3 = reverse(v2, axis = 2);
        let s = scan Cell4(v3) masked lengths as inner;
        let v2 = -square(s.y);
        let v3 = reverse(s.h, axis = 0);
        let v4 = tanh(s.y @ matrix);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 5.
    pub cell Cell5[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = ln(sqrt(sigmoid(h)));
        let v3 = tanh(h @ matrix);
        let v4 = x + vector;
        let v5 = max(v2, v4);
        let v6 = v3 - v2;
        let v7 = logit(sigmoid(x));
        let v8 = v5 - v2;
        let v9 = v5 * v7;
        let v10 = ln(sqrt(sigmoid(v5)));
        let v11 = ln(sqrt(sigmoid(v2)));
        output y = v11;
        next (tanh(v11 + x + h @ matrix + vector * tau))
    }

    /// Random model 5.
    pub model Random5[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = x + vector;
        let v2 = select(v1 > x, v1, tau * x);
        let v3 = softmax(v1);
        let v4 = v3 * locked_uniform();
        let v5 = x + vector;
        let s = scan Cell5(v5) reversed masked lengths as inner;
        let v2 = reverse(s.y, axis = 2);
        let v3 = dropout(s.y, 0.3);
        let v4 = v2 + v3;
        let v5 = s.h * uniform();
        let v6 = s.y / exp(tanh(s.y));
        let v7 = tanh(v4 @ matrix);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v7;
        loss mean(tanh(v7) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 6.
    pub cell Cell6[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = dropout(x, 0.3);
        let v3 = sigmoid((h + logit(uniform())) / tau);
        let v4 = logit(sigmoid(h));
        let v5 = sigmoid(x);
        output y = v5;
        next (tanh(v5 + x + h @ matrix + vector * tau))
    }

    /// Random model 6.
    pub model Random6[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = x / exp(tanh(x));
        let v2 = mean(x) - v1;
        let v3 = x / exp(tanh(v1));
        let v4 = v1 + vector;
        let v5 = -square(x);
        let s = scan Cell6(v5) as inner;
        let v2 = select(s.h > s.h, s.h, tau * s.h);
        let v3 = tanh(broadcast(sum(v2, axis = -1), [time, batch, 2 * half]));
        let v4 = dropout(s.y, 0.3);
        let v5 = s.y + vector;
        let v6 = tanh(v4);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v6;
        loss mean(tanh(v6) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 7.
    pub cell Cell7[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = x + h;
        let v3 = select(v2 > x, v2, tau * x);
        let v4 = v2 + x;
        let v5 = ln(sqrt(sigmoid(v3)));
        let v6 = max(v5, v4);
        let v7 = ln(sqrt(sigmoid(v2)));
        let v8 = -square(v4);
        let v9 = v7 / exp(tanh(v2));
        output y = v9;
        next (tanh(v9 + x + h @ matrix + vector * tau))
    }

    /// Random model 7.
    pub model Random7[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = select(x > x, x, tau * x);
        let v2 = x - x;
        let v3 = tanh(x);
        let v4 = v1 + v3;
        let s = scan Cell7(v4) masked lengths as inner;
        let v2 = s.y + vector;
        let v3 = mean(s.y) - s.y;
        let v4 = sigmoid((s.h + logit(uniform())) / tau);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 8.
    pub cell Cell8[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = logit(sigmoid(h));
        let v3 = mean(x) - v2;
        let v4 = reverse(v3, axis = 1);
        let v5 = x * x;
        let v6 = -square(x);
        let v7 = logit(sigmoid(v4));
        let v8 = v6 - v5;
        let v9 = v6 + vector;
        let v10 = v9 * locked_uniform();
        let v11 = h / exp(tanh(v9));
        output y = v11;
        next (tanh(v11 + x + h @ matrix + vector * tau))
    }

    /// Random model 8.
    pub model Random8[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = x / exp(tanh(x));
        let v2 = x - v1;
        let v3 = tanh(v2);
        let s = scan Cell8(v3) masked lengths as inner;
        let v2 = softmax(s.h);
        let v3 = v2 * locked_uniform();
        let v4 = v2 - v2;
        let v5 = dropout(v3, 0.3);
        let v6 = log_softmax(v2);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v6;
        loss mean(tanh(v6) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 9.
    pub cell Cell9[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(h @ matrix.t);
        let v3 = -square(h);
        let v4 = logit(sigmoid(v3));
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 9.
    pub model Random9[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = x / exp(tanh(x));
        let v2 = ln(sqrt(sigmoid(x)));
        let v3 = sigmoid(v1);
        let v4 = ln(sqrt(sigmoid(x)));
        let s = scan Cell9(v4) reversed masked lengths as inner;
        let v2 = concat(slice(s.h, half, half), slice(s.y, 0, half));
        let v3 = sigmoid((s.y + logit(uniform())) / tau);
        let v4 = s.h + vector;
        let v5 = logit(sigmoid(s.h));
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v5;
        loss mean(tanh(v5) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 10.
    pub cell Cell10[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(h);
        let v3 = locked_dropout(h, 0.3);
        let v4 = reverse(v3, axis = 1);
        let v5 = softmax(v2);
        let v6 = mean(x) - v3;
        output y = v6;
        next (tanh(v6 + x + h @ matrix + vector * tau))
    }

    /// Random model 10.
    pub model Random10[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = x * x;
        let v2 = sigmoid(v1);
        let v3 = x * uniform();
        let v4 = select(v3 > v1, v3, tau * v1);
        let s = scan Cell10(v4) as inner;
        let v2 = select(s.h > s.y, s.h, tau * s.y);
        let v3 = ln(sqrt(sigmoid(s.h)));
        let v4 = sigmoid((v2 + logit(uniform())) / tau);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 11.
    pub cell Cell11[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = -square(x);
        let v3 = softmax(v2);
        let v4 = max(h, v2);
        let v5 = tanh(v4);
        let v6 = v3 - v5;
        let v7 = log_softmax(v6);
        let v8 = ln(sqrt(sigmoid(h)));
        let v9 = max(v4, v8);
        let v10 = relu(v3);
        let v11 = log_softmax(v4);
        output y = v11;
        next (tanh(v11 + x + h @ matrix + vector * tau))
    }

    /// Random model 11.
    pub model Random11[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = tanh(broadcast(sum(x, axis = -1), [time, batch, 2 * half]));
        let v2 = x / exp(tanh(v1));
        let v3 = v1 + v2;
        let v4 = sigmoid(v1);
        let v5 = x + x;
        let s = scan Cell11(v5) reversed masked lengths as inner;
        let v2 = log_softmax(s.y);
        let v3 = locked_dropout(v2, 0.3);
        let v4 = ln(sqrt(sigmoid(s.y)));
        let v5 = max(s.y, s.y);
        let v6 = select(v5 > v4, v5, tau * v4);
        let v7 = reverse(s.y, axis = 2);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v7;
        loss mean(tanh(v7) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 12.
    pub cell Cell12[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = x / exp(tanh(x));
        let v3 = select(x > h, x, tau * h);
        let v4 = max(v3, h);
        let v5 = relu(v4);
        let v6 = locked_dropout(h, 0.3);
        let v7 = relu(v2);
        output y = v7;
        next (tanh(v7 + x + h @ matrix + vector * tau))
    }

    /// Random model 12.
    pub model Random12[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = logit(sigmoid(x));
        let v2 = x + vector;
        let v3 = v2 + vector;
        let s = scan Cell12(v3) masked lengths as inner;
        let v2 = tanh(s.h @ matrix);
        let v3 = v2 * uniform();
        let v4 = sigmoid((v3 + logit(uniform())) / tau);
        let v5 = tanh(s.h);
        let v6 = concat(slice(v3, half, half), slice(v4, 0, half));
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v6;
        loss mean(tanh(v6) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 13.
    pub cell Cell13[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = x * uniform();
        let v3 = sigmoid(x);
        let v4 = relu(h);
        let v5 = tanh(broadcast(sum(v3, axis = -1), [batch, 2 * half]));
        let v6 = max(v4, v5);
        let v7 = mean(v4) - v4;
        let v8 = sigmoid((x + logit(uniform())) / tau);
        let v9 = logit(sigmoid(v5));
        let v10 = v8 * uniform();
        output y = v10;
        next (tanh(v10 + x + h @ matrix + vector * tau))
    }

    /// Random model 13.
    pub model Random13[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = sigmoid(x);
        let v2 = v1 - v1;
        let v3 = x - v1;
        let s = scan Cell13(v3) as inner;
        let v2 = -square(s.y);
        let v3 = log_softmax(s.h);
        let v4 = sigmoid(v2);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 14.
    pub cell Cell14[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = select(x > h, x, tau * h);
        let v3 = h * uniform();
        let v4 = -square(x);
        let v5 = x + vector;
        let v6 = select(x > v5, x, tau * v5);
        let v7 = sigmoid((v2 + logit(uniform())) / tau);
        output y = v7;
        next (tanh(v7 + x + h @ matrix + vector * tau))
    }

    /// Random model 14.
    pub model Random14[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = relu(x);
        let v2 = tanh(v1 @ matrix.t);
        let v3 = relu(v2);
        let v4 = v3 * locked_uniform();
        let v5 = select(v3 > v2, v3, tau * v2);
        let v6 = sigmoid((v5 + logit(uniform())) / tau);
        let s = scan Cell14(v6) reversed masked lengths as inner;
        let v2 = dropout(s.h, 0.3);
        let v3 = relu(s.h);
        let v4 = v3 * v3;
        let v5 = tanh(broadcast(sum(s.h, axis = -1), [time, batch, 2 * half]));
        let v6 = v3 + vector;
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v6;
        loss mean(tanh(v6) * weight) + sum(tanh(v6)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 15.
    pub cell Cell15[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(x);
        let v3 = select(h > h, h, tau * h);
        let v4 = max(v2, x);
        let v5 = dropout(x, 0.3);
        let v6 = v5 + x;
        let v7 = select(v3 > v5, v3, tau * v5);
        let v8 = -square(v2);
        let v9 = logit(sigmoid(v8));
        let v10 = ln(sqrt(sigmoid(v8)));
        let v11 = logit(sigmoid(h));
        let v12 = sigmoid(h);
        let v13 = mean(v6) - v9;
        output y = v13;
        next (tanh(v13 + x + h @ matrix + vector * tau))
    }

    /// Random model 15.
    pub model Random15[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = mean(x) - x;
        let v2 = reverse(x, axis = 0);
        let s = scan Cell15(v2) as inner;
        let v2 = tanh(s.y @ matrix.t);
        let v3 = logit(sigmoid(v2));
        let v4 = tanh(s.h @ matrix.t);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v2)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 16.
    pub cell Cell16[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = sigmoid((x + logit(uniform())) / tau);
        let v3 = tanh(broadcast(sum(x, axis = -1), [batch, 2 * half]));
        let v4 = v2 * v3;
        let v5 = logit(sigmoid(v2));
        output y = v5;
        next (tanh(v5 + x + h @ matrix + vector * tau))
    }

    /// Random model 16.
    pub model Random16[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = tanh(broadcast(sum(x, axis = -1), [time, batch, 2 * half]));
        let v2 = sigmoid(v1);
        let v3 = mean(x) - v1;
        let v4 = mean(v2) - v3;
        let v5 = mean(v2) - v3;
        let s = scan Cell16(v5) masked lengths as inner;
        let v2 = mean(s.y) - s.y;
        let v3 = mean(s.y) - v2;
        let v4 = logit(sigmoid(v3));
        let v5 = relu(v4);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v5;
        loss mean(tanh(v5) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 17.
    pub cell Cell17[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(broadcast(sum(h, axis = -1), [batch, 2 * half]));
        let v3 = h / exp(tanh(h));
        let v4 = dropout(v2, 0.3);
        let v5 = relu(v4);
        let v6 = x - v4;
        output y = v6;
        next (tanh(v6 + x + h @ matrix + vector * tau))
    }

    /// Random model 17.
    pub model Random17[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = mean(x) - x;
        let v2 = reverse(x, axis = 2);
        let v3 = sigmoid(v2);
        let v4 = sigmoid((v2 + logit(uniform())) / tau);
        let v5 = dropout(v1, 0.3);
        let s = scan Cell17(v5) as inner;
        let v2 = s.y * uniform();
        let v3 = tanh(s.h @ matrix);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v3;
        loss mean(tanh(v3) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 18.
    pub cell Cell18[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = max(x, h);
        let v3 = max(v2, x);
        let v4 = relu(v2);
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 18.
    pub model Random18[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = log_softmax(x);
        let v2 = tanh(broadcast(sum(v1, axis = -1), [time, batch, 2 * half]));
        let v3 = dropout(x, 0.3);
        let v4 = sigmoid(v2);
        let s = scan Cell18(v4) masked lengths as inner;
        let v2 = mean(s.h) - s.y;
        let v3 = concat(slice(s.y, half, half), slice(s.y, 0, half));
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v3;
        loss mean(tanh(v3) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 19.
    pub cell Cell19[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = sigmoid(h);
        let v3 = ln(sqrt(sigmoid(x)));
        let v4 = logit(sigmoid(v2));
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 19.
    pub model Random19[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = ln(sqrt(sigmoid(x)));
        let v2 = dropout(v1, 0.3);
        let v3 = tanh(v2);
        let s = scan Cell19(v3) masked lengths as inner;
        let v2 = tanh(s.h);
        let v3 = dropout(v2, 0.3);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v3;
        loss mean(tanh(v3) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 20.
    pub cell Cell20[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = reverse(x, axis = 0);
        let v3 = reverse(x, axis = 1);
        let v4 = log_softmax(v3);
        let v5 = v2 + vector;
        let v6 = relu(v5);
        let v7 = v4 * v2;
        let v8 = x + vector;
        output y = v8;
        next (tanh(v8 + x + h @ matrix + vector * tau))
    }

    /// Random model 20.
    pub model Random20[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = tanh(broadcast(sum(x, axis = -1), [time, batch, 2 * half]));
        let v2 = dropout(v1, 0.3);
        let v3 = v1 - x;
        let v4 = concat(slice(v3, half, half), slice(v3, 0, half));
        let v5 = concat(slice(x, half, half), slice(v3, 0, half));
        let s = scan Cell20(v5) reversed as inner;
        let v2 = s.h + s.y;
        let v3 = relu(v2);
        let v4 = concat(slice(v2, half, half), slice(s.y, 0, half));
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v5)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 21.
    pub cell Cell21[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = tanh(h @ matrix);
        let v3 = reverse(h, axis = 0);
        let v4 = v3 + vector;
        let v5 = h + h;
        let v6 = reverse(v5, axis = 1);
        let v7 = logit(sigmoid(v6));
        let v8 = concat(slice(v6, half, half), slice(v2, 0, half));
        let v9 = logit(sigmoid(v7));
        let v10 = v2 - v4;
        let v11 = reverse(v3, axis = 1);
        let v12 = concat(slice(v6, half, half), slice(v2, 0, half));
        let v13 = tanh(v7);
        let v14 = max(v11, v7);
        output y = v14;
        next (tanh(v14 + x + h @ matrix + vector * tau))
    }

    /// Random model 21.
    pub model Random21[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = relu(x);
        let v2 = sigmoid(v1);
        let s = scan Cell21(v2) reversed as inner;
        let v2 = tanh(s.y);
        let v3 = v2 * uniform();
        let v4 = s.y + vector;
        let v5 = concat(slice(s.y, half, half), slice(v3, 0, half));
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v5;
        loss mean(tanh(v5) * weight) + sum(tanh(v2)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 22.
    pub cell Cell22[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = relu(x);
        let v3 = max(x, x);
        let v4 = select(h > v3, h, tau * v3);
        output y = v4;
        next (tanh(v4 + x + h @ matrix + vector * tau))
    }

    /// Random model 22.
    pub model Random22[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = mean(x) - x;
        let v2 = tanh(v1);
        let v3 = mean(v1) - v1;
        let v4 = tanh(v1);
        let s = scan Cell22(v4) reversed as inner;
        let v2 = s.h / exp(tanh(s.h));
        let v3 = s.h * uniform();
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v3;
        loss mean(tanh(v3) * weight) + sum(tanh(v4)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

    /// Random cell 23.
    pub cell Cell23[batch, half] {
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v2 = reverse(x, axis = 0);
        let v3 = x * locked_uniform();
        output y = v3;
        next (tanh(v3 + x + h @ matrix + vector * tau))
    }

    /// Random model 23.
    pub model Random23[time, batch, half] {
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
        let v1 = sigmoid((x + logit(uniform())) / tau);
        let v2 = locked_dropout(v1, 0.3);
        let v3 = sigmoid((v1 + logit(uniform())) / tau);
        let s = scan Cell23(v3) masked lengths as inner;
        let v2 = tanh(broadcast(sum(s.h, axis = -1), [time, batch, 2 * half]));
        let v3 = tanh(s.h);
        let v4 = softmax(v2);
        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = v4;
        loss mean(tanh(v4) * weight) + sum(tanh(v3)) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }

}
