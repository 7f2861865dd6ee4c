//! Distances on the Earth.

/// The ellipsoid of WGS 84: half its long axis in metres, and by how much it is flattened.
const LONG: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_223_563;
const SHORT: f64 = (1.0 - FLATTENING) * LONG;
/// Radians: less than a millimetre.
const EXACT: f64 = 1e-12;
const STEPS: usize = 200;

/// Degrees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

/// The length of the geodesic between two places in metres, by Vincenty's inverse formula. `None` for places so nearly opposite each other
/// that it does not converge.
pub(crate) fn distance(from: Place, to: Place) -> Option<f64> {
    let reduced = |place: Place| ((1.0 - FLATTENING) * place.latitude.to_radians().tan()).atan().sin_cos();
    let ((sin_from, cos_from), (sin_to, cos_to)) = (reduced(from), reduced(to));
    let apart = (to.longitude - from.longitude).to_radians();
    let mut lambda = apart;
    for _ in 0..STEPS {
        let (sin_lambda, cos_lambda) = lambda.sin_cos();
        let sin_sigma = (cos_to * sin_lambda).hypot(cos_from * sin_to - sin_from * cos_to * cos_lambda);
        if sin_sigma == 0.0 {
            // The same place.
            return Some(0.0);
        }
        let cos_sigma = sin_from * sin_to + cos_from * cos_to * cos_lambda;
        let sigma = sin_sigma.atan2(cos_sigma);
        let sin_alpha = cos_from * cos_to * sin_lambda / sin_sigma;
        let cos2_alpha = 1.0 - sin_alpha * sin_alpha;
        // On the equator there is no middle.
        let middle = if cos2_alpha == 0.0 { 0.0 } else { cos_sigma - 2.0 * sin_from * sin_to / cos2_alpha };
        let c = FLATTENING / 16.0 * cos2_alpha * (4.0 + FLATTENING * (4.0 - 3.0 * cos2_alpha));
        let turn = sigma + c * sin_sigma * (middle + c * cos_sigma * (2.0 * middle * middle - 1.0));
        let next = apart + (1.0 - c) * FLATTENING * sin_alpha * turn;
        let done = (next - lambda).abs() < EXACT;
        lambda = next;
        if done {
            return Some(along(cos2_alpha, sigma, sin_sigma, cos_sigma, middle));
        }
    }
    None
}

/// The length, once the angles are known.
fn along(cos2_alpha: f64, sigma: f64, sin_sigma: f64, cos_sigma: f64, middle: f64) -> f64 {
    let u2 = cos2_alpha * (LONG * LONG - SHORT * SHORT) / (SHORT * SHORT);
    let a = 1.0 + u2 / 16384.0 * (4096.0 + u2 * (-768.0 + u2 * (320.0 - 175.0 * u2)));
    let b = u2 / 1024.0 * (256.0 + u2 * (-128.0 + u2 * (74.0 - 47.0 * u2)));
    let middle2 = middle * middle;
    let third = b / 6.0 * middle * (4.0 * sin_sigma * sin_sigma - 3.0) * (4.0 * middle2 - 3.0);
    let change = b * sin_sigma * (middle + b / 4.0 * (cos_sigma * (2.0 * middle2 - 1.0) - third));
    SHORT * a * (sigma - change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metres(from: (f64, f64), to: (f64, f64)) -> Option<f64> {
        let place = |(latitude, longitude)| Place { latitude, longitude };
        distance(place(from), place(to))
    }

    #[test]
    fn lengths_that_are_known() {
        // A degree of the equator is a 360th of a circle of the long axis.
        let degree = metres((0.0, 0.0), (0.0, 1.0)).unwrap();
        assert!((degree - LONG * 1_f64.to_radians()).abs() < 1e-3, "{degree}");
        // From pole to equator: the metre was meant to be a ten-millionth of it.
        let quadrant = metres((90.0, 0.0), (0.0, 77.0)).unwrap();
        assert!((quadrant - 10_001_965.729).abs() < 1e-2, "{quadrant}");
        assert_eq!(metres((48.0, 2.0), (48.0, 2.0)), Some(0.0));
        let there = metres((-33.9, 151.2), (51.5, -0.1)).unwrap();
        let back = metres((51.5, -0.1), (-33.9, 151.2)).unwrap();
        assert!((there - back).abs() < 1e-3, "{there} {back}");
    }

    #[test]
    fn opposite_places_have_none() {
        assert_eq!(metres((0.0, 0.0), (0.3, 179.7)), None);
    }
}
