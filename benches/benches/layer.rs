//! One layer, forward and forward + backward: each cell, fused and unfused, one thread and two.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use g2_benches::{Layer, Shape};
use g2_engine::{Definition, Fusion, Model};
use g2_graphs::layer::{G2LstmLayer, LstmLayer, NoisyLstmLayer, SharpenedLstmLayer};
use std::time::Duration;

const SHAPES: [Shape; 2] =
    [Shape { time: 70, batch: 20, input: 400, hidden: 1150 }, Shape { time: 35, batch: 64, input: 256, hidden: 256 }];

const CELLS: [&Definition; 4] =
    [G2LstmLayer::DEFINITION, LstmLayer::DEFINITION, SharpenedLstmLayer::DEFINITION, NoisyLstmLayer::DEFINITION];

const WAYS: [(Fusion, usize); 3] = [(Fusion::Fused, 2), (Fusion::Unfused, 2), (Fusion::Fused, 1)];

fn layers(criterion: &mut Criterion) {
    for shape in SHAPES {
        let mut group = criterion.benchmark_group(format!("layer {shape}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for cell in CELLS {
            let build = |(fusion, threads)| Layer::new(cell, shape, fusion, threads).expect("the layer fits its sizes");
            let mut reference = build(WAYS[0]);
            for way @ (fusion, threads) in WAYS {
                let mut layer = build(way);
                layer.assert_equal(&mut reference);
                let name = format!("{} {fusion:?} {threads} threads", cell.name);
                group.throughput(Throughput::Elements(shape.forward_flops()));
                group.bench_function(BenchmarkId::new(&name, "forward"), |b| b.iter(|| layer.forward()));
                group.throughput(Throughput::Elements(3 * shape.forward_flops()));
                group.bench_function(BenchmarkId::new(&name, "forward+backward"), |b| {
                    b.iter(|| layer.forward_backward());
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
