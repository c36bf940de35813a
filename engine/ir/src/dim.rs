//! Symbolic dimensions: polynomials over named sizes, and the numbers bound to them.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;
use std::fmt;

/// One dimension: a polynomial with integer coefficients over named sizes, in normal form (terms sorted, no zero
/// coefficient), so that two dimensions are equal exactly when they are equal for all sizes. Coefficients saturate: no
/// memory holds such a tensor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Dim(SmallVec<[Term; 1]>);

/// The names multiplied in one term, sorted; nearly always one.
type Factors = SmallVec<[String; 1]>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
struct Term {
    factors: Factors,
    coefficient: i64,
}

impl Dim {
    /// The dimension called `name`.
    pub fn symbol(name: impl Into<String>) -> Dim {
        Dim(smallvec![Term { factors: smallvec![name.into()], coefficient: 1 }])
    }

    /// A fixed number.
    pub fn number(value: usize) -> Dim {
        Dim::normal([(SmallVec::new(), i64::try_from(value).unwrap_or(i64::MAX))])
    }

    fn normal(terms: impl IntoIterator<Item = (Factors, i64)>) -> Dim {
        let mut sum: BTreeMap<Factors, i64> = BTreeMap::new();
        for (mut factors, coefficient) in terms {
            factors.sort();
            let total = sum.entry(factors).or_default();
            *total = total.saturating_add(coefficient);
        }
        let terms = sum.into_iter().filter(|&(_, coefficient)| coefficient != 0);
        Dim(terms.map(|(factors, coefficient)| Term { factors, coefficient }).collect())
    }

    /// `self - other`.
    pub fn minus(&self, other: &Dim) -> Dim {
        let negated = other.0.iter().map(|t| (t.factors.clone(), t.coefficient.saturating_neg()));
        Dim::normal(self.pairs().chain(negated))
    }

    /// `self / divisor`, where every coefficient divides.
    pub fn divide(&self, divisor: usize) -> Option<Dim> {
        let divisor = i64::try_from(divisor).ok().filter(|&d| d > 0)?;
        let divides = self.0.iter().all(|t| t.coefficient % divisor == 0);
        divides.then(|| Dim::normal(self.0.iter().map(|t| (t.factors.clone(), t.coefficient / divisor))))
    }

    /// This dimension with each symbol replaced by what `with` gives for it; symbols it gives nothing for stay.
    pub fn substitute(&self, with: &dyn Fn(&str) -> Option<Dim>) -> Dim {
        let mut sum = Dim::number(0);
        for term in &self.0 {
            let mut product = Dim::normal([(SmallVec::new(), term.coefficient)]);
            for name in &term.factors {
                product = &product * &with(name).unwrap_or_else(|| Dim::symbol(name.clone()));
            }
            sum = &sum + &product;
        }
        sum
    }

    /// The number this dimension is, if no symbol is left in it.
    pub fn as_number(&self) -> Option<usize> {
        match self.0.as_slice() {
            [] => Some(0),
            [t] if t.factors.is_empty() => usize::try_from(t.coefficient).ok(),
            _ => None,
        }
    }

    /// Whether this is the number zero for all sizes.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in it, each once.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        let names: std::collections::BTreeSet<&str> =
            self.0.iter().flat_map(|t| t.factors.iter().map(String::as_str)).collect();
        names.into_iter()
    }

    /// Its value for `sizes`.
    ///
    /// # Errors
    /// Names the first symbol that `sizes` does not bind, or says that the value is negative or overflows.
    pub fn eval(&self, sizes: &Sizes) -> Result<usize, String> {
        let mut sum: i64 = 0;
        for term in &self.0 {
            let mut product = term.coefficient;
            for name in &term.factors {
                let size = sizes.get(name).ok_or_else(|| format!("dimension `{name}` is not bound to a number"))?;
                let size = i64::try_from(size).map_err(|_| format!("dimension `{name}` is too large"))?;
                product = product.checked_mul(size).ok_or_else(|| format!("`{self}` overflows"))?;
            }
            sum = sum.checked_add(product).ok_or_else(|| format!("`{self}` overflows"))?;
        }
        usize::try_from(sum).map_err(|_| format!("`{self}` is negative"))
    }

    fn pairs(&self) -> impl Iterator<Item = (Factors, i64)> + '_ {
        self.0.iter().map(|t| (t.factors.clone(), t.coefficient))
    }
}

impl std::ops::Add for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        Dim::normal(self.pairs().chain(other.pairs()))
    }
}

impl std::ops::Mul for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        let product = |a: &Term, b: &Term| {
            let factors = a.factors.iter().chain(&b.factors).cloned().collect();
            (factors, a.coefficient.saturating_mul(b.coefficient))
        };
        Dim::normal(self.0.iter().flat_map(|a| other.0.iter().map(move |b| product(a, b))))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        // Constants sort first in the normal form and read better last.
        for (i, t) in self.0.iter().rev().enumerate() {
            let sign = if t.coefficient < 0 { "-" } else { "+" };
            match (i, sign) {
                (0, "-") => f.write_str("-")?,
                (0, _) => {}
                _ => write!(f, " {sign} ")?,
            }
            let size = t.coefficient.unsigned_abs();
            match (size, t.factors.is_empty()) {
                (_, true) => write!(f, "{size}")?,
                (1, false) => f.write_str(&t.factors.join(" * "))?,
                (_, false) => write!(f, "{size} * {}", t.factors.join(" * "))?,
            }
        }
        Ok(())
    }
}

/// The dimensions of one tensor, outermost first; no dimension is a scalar's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape(Vec::new())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// This shape with `dim` put before axis `axis`.
    pub fn insert(&self, axis: usize, dim: Dim) -> Shape {
        let mut dims = self.0.clone();
        dims.insert(axis, dim);
        Shape(dims)
    }

    /// This shape without axis `axis`.
    pub fn remove(&self, axis: usize) -> Shape {
        let mut dims = self.0.clone();
        dims.remove(axis);
        Shape(dims)
    }

    /// This shape with axis `axis` replaced by `dim`.
    pub fn with(&self, axis: usize, dim: Dim) -> Shape {
        let mut dims = self.0.clone();
        dims[axis] = dim;
        Shape(dims)
    }

    /// Every dimension substituted, as [`Dim::substitute`].
    pub fn substitute(&self, with: &dyn Fn(&str) -> Option<Dim>) -> Shape {
        Shape(self.0.iter().map(|d| d.substitute(with)).collect())
    }

    /// Its numbers for `sizes`.
    ///
    /// # Errors
    /// As [`Dim::eval`], or if there are more elements than any memory can hold.
    pub fn eval(&self, sizes: &Sizes) -> Result<Vec<usize>, String> {
        let numbers: Vec<usize> = self.0.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>()?;
        // An element is 8 bytes at most, and offsets in bytes are signed.
        let elements = numbers.iter().try_fold(1_usize, |product, &n| product.checked_mul(n.max(1)));
        match elements.filter(|&count| count <= isize::MAX as usize / 64) {
            Some(_) => Ok(numbers),
            None => Err(format!("{numbers:?} is more than memory can hold")),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}

/// Numbers bound to dimension names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sizes(BTreeMap<String, usize>);

impl Sizes {
    /// No name bound.
    pub fn new() -> Sizes {
        Sizes::default()
    }

    /// Binds `name` to `size` and returns the whole, for chaining.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, size: usize) -> Sizes {
        self.set(name, size);
        self
    }

    /// Binds `name` to `size`.
    pub fn set(&mut self, name: impl Into<String>, size: usize) {
        self.0.insert(name.into(), size);
    }

    /// The number bound to `name`.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// All names and their numbers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(name, &size)| (name.as_str(), size))
    }
}

impl<N: Into<String>> FromIterator<(N, usize)> for Sizes {
    fn from_iter<I: IntoIterator<Item = (N, usize)>>(pairs: I) -> Sizes {
        Sizes(pairs.into_iter().map(|(name, size)| (name.into(), size)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(name: &str) -> Dim {
        Dim::symbol(name)
    }

    #[test]
    fn equal_polynomials_have_one_normal_form() {
        let (a, b) = (dim("a"), dim("b"));
        assert_eq!(&(&a + &b) * &(&a + &b), &(&(&a * &a) + &(&Dim::number(2) * &(&b * &a))) + &(&b * &b));
        assert!(a.minus(&a).is_zero());
        assert_eq!((&(&Dim::number(4) * &a) + &Dim::number(2)).divide(2).unwrap().to_string(), "2 * a + 1");
        assert_eq!((&a + &Dim::number(1)).divide(2), None);
    }

    #[test]
    fn evaluation_names_what_is_missing_or_wrong() {
        let sizes = Sizes::new().with("a", 3);
        assert_eq!((&dim("a") * &dim("a")).eval(&sizes), Ok(9));
        assert_eq!(dim("b").eval(&sizes), Err("dimension `b` is not bound to a number".into()));
        assert_eq!(dim("a").minus(&Dim::number(4)).eval(&sizes), Err("`a - 4` is negative".into()));
        assert!((&dim("a") * &dim("big")).eval(&sizes.clone().with("big", usize::MAX >> 1)).is_err());
        let square = Shape(vec![dim("big"), dim("big")]);
        assert!(square.eval(&sizes.with("big", 1 << 32)).unwrap_err().ends_with("is more than memory can hold"));
    }
}
