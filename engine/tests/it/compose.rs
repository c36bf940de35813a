//! `use` inside of `graph!`: across modules, visibilities, names and scopes. Across crates it is what `g2-graphs` does.

use g2_engine::{Model, graph};

/// Leaf names of a model's training program.
fn leaves<M: Model>() -> Vec<String> {
    let program = M::DEFINITION.training.expect("a loss").decode().expect("as written");
    program.leaves.into_iter().map(|leaf| leaf.name).collect()
}

mod cells {
    use g2_engine::graph;

    graph! {
        /// Twice its argument.
        pub fn twice(x) = 2 * x;

        fn inner(x) = twice(x) + 1;

        /// Sums what it reads.
        pub cell Sum[batch, width] {
            input x: [batch, width];
            state h: [batch, width];
            param w: [width];
            next (h + inner(x) * w)
        }
    }

    pub(crate) mod deeper {
        use g2_engine::graph;

        graph! {
            use super::inner as renamed;
            pub(crate) fn thrice(x) = renamed(x) + x;
        }
    }
}

graph! {
    use cells::{Sum, deeper::thrice, twice as doubled};
    /// A template.
    pub model Over<Cell>[time, batch, width] {
        input x: [time, batch, width];
        let s = scan Cell(thrice(x)) as cell;
        loss sum(doubled(s.h));
    }
    pub model OverSum = Over<Sum>;
}

graph! {
    use self::{Over, cells::Sum as Other};
    use crate::compose::cells::twice;
    model Again = Over<Other>;
    pub model Alone[n] {
        input x: [n];
        param w: [n];
        loss sum(twice(x) * w);
    }
}

#[test]
fn items_come_from_other_modules_under_other_names() {
    assert_eq!(leaves::<OverSum>(), ["x", "cell.w"]);
    assert_eq!(leaves::<Again>(), ["x", "cell.w"]);
    assert_eq!(leaves::<Alone>(), ["x", "w"]);
}

#[test]
fn a_graph_can_stand_in_a_function() {
    graph! {
        fn shifted(x) = x + 1;
        cell Last[batch] {
            input x: [batch];
            state h: [batch];
            next (shifted(x) + 0 * h)
        }
    }
    graph! {
        use Last;
        use self::cells::twice;
        model Here[time, batch] {
            input x: [time, batch];
            param w: [batch];
            let s = scan Last(x);
            loss sum(twice(s.h) * w);
        }
    }
    assert_eq!(leaves::<Here>(), ["x", "w"]);
}
