//! One kernel for each primitive: what an unfused plan calls.

use super::kernel::Kernel;
use crate::real::Real;
use crate::region::Region;

macro_rules! primitives {
    ($($name:ident: $x:literal, $u:literal, |$xs:pat_param, $us:pat_param| $value:expr;)*) => {
        $(
            struct $name;
            impl Region<$x, 0, $u, 1> for $name {
                #[inline(always)]
                fn eval<T: Real>($xs: [T; $x], []: [T; 0], $us: [T; $u]) -> [T; 1] {
                    [$value]
                }
            }
        )*
        /// The primitives in the order of `g2_ir::Map::ALL`, then the lone uniform.
        pub static PRIMITIVES: &[Kernel] = &[$(Kernel::new::<$name, $x, 0, $u, 1>(stringify!($name))),*];
    };
}

primitives! {
    Neg: 1, 0, |[a], []| -a;
    Exp: 1, 0, |[a], []| a.exp();
    Ln: 1, 0, |[a], []| a.ln();
    Logit: 1, 0, |[a], []| a.logit();
    Sigmoid: 1, 0, |[a], []| a.sigmoid();
    Tanh: 1, 0, |[a], []| a.tanh();
    Relu: 1, 0, |[a], []| a.relu();
    Square: 1, 0, |[a], []| a * a;
    Sqrt: 1, 0, |[a], []| a.sqrt();
    Add: 2, 0, |[a, b], []| a + b;
    Sub: 2, 0, |[a, b], []| a - b;
    Mul: 2, 0, |[a, b], []| a * b;
    Div: 2, 0, |[a, b], []| a / b;
    Max: 2, 0, |[a, b], []| a.maximum(b);
    Greater: 2, 0, |[a, b], []| a.greater(b);
    Less: 2, 0, |[a, b], []| a.less(b);
    Select: 3, 0, |[a, b, c], []| T::select(a, b, c);
    Uniform: 0, 1, |[], [u]| u;
}
