//! Every corruption by name, and the named lists.

use crate::{Corruption, Error, blur, cbar, degrade, digital, mask, noise, scan, weather};

/// Every corruption that a recipe or a command can name.
pub const CORRUPTIONS: &[&dyn Corruption] = &[
    &noise::GAUSSIAN,
    &noise::SHOT,
    &noise::IMPULSE,
    &blur::DEFOCUS,
    &blur::GLASS,
    &blur::MOTION,
    &blur::ZOOM,
    &weather::SNOW,
    &weather::FROST,
    &weather::FOG,
    &weather::BRIGHTNESS,
    &digital::CONTRAST,
    &digital::ELASTIC,
    &digital::PIXELATE,
    &digital::JPEG,
    &noise::SPECKLE,
    &blur::GAUSSIAN,
    &weather::SPATTER,
    &digital::SATURATE,
    &blur::ZOOM_HENDRYCKS,
    &weather::FOG_HENDRYCKS,
    &digital::ELASTIC_HENDRYCKS,
    &digital::PIXELATE_HENDRYCKS,
    &mask::BLOCKS,
    &degrade::NOISE,
    &degrade::BLUR,
    &degrade::JPEG,
    &degrade::DARKEN,
    &degrade::TWO_STAGES,
    &scan::LOW_RESOLUTION,
    &scan::DOCUMENT,
    &cbar::BLUE_SAMPLE,
    &cbar::BROWNISH,
    &cbar::CAUSTIC_REFRACTION,
    &cbar::CHECKERBOARD,
    &cbar::CONCENTRIC,
    &cbar::INVERSE_SPARKLES,
    &cbar::PERLIN,
    &cbar::PLASMA,
    &cbar::SINGLE_FREQUENCY,
    &cbar::SPARKLES,
];

/// Named lists of corruptions, besides `all`, the whole table.
///
/// ROMA's own lists of seen and unseen corruptions are not public (its abstract names blur, compression artefacts and
/// low-resolution scans alone): `roma-seen` and `roma-unseen` are this project's choice, each kind of damage on both
/// sides and no corruption on two.
pub const LISTS: &[(&str, &[&str])] = &[
    (
        "common",
        &[
            "gaussian_noise",
            "shot_noise",
            "impulse_noise",
            "defocus_blur",
            "glass_blur",
            "motion_blur",
            "zoom_blur",
            "snow",
            "frost",
            "fog",
            "brightness",
            "contrast",
            "elastic_transform",
            "pixelate",
            "jpeg_compression",
        ],
    ),
    ("extra", &["speckle_noise", "gaussian_blur", "spatter", "saturate"]),
    (
        "c-bar",
        &[
            "blue_noise_sample",
            "brownish_noise",
            "caustic_refraction",
            "checkerboard_cutout",
            "cocentric_sine_waves",
            "inverse_sparkles",
            "perlin_noise",
            "plasma_noise",
            "single_frequency_greyscale",
            "sparkles",
        ],
    ),
    (
        "roma-seen",
        &[
            "gaussian_noise",
            "gaussian_blur",
            "jpeg_compression",
            "low_resolution_scan",
            "contrast",
            "pixelate",
        ],
    ),
    (
        "roma-unseen",
        &["shot_noise", "motion_blur", "defocus_blur", "document_scan", "fog", "elastic_transform"],
    ),
];

/// The corruption of that name.
///
/// # Errors
/// No such name; the error carries the known ones.
pub fn find(name: &str) -> Result<&'static dyn Corruption, Error> {
    CORRUPTIONS.iter().find(|c| c.name() == name).copied().ok_or_else(|| Error::UnknownCorruption {
        name: name.to_owned(),
        known: CORRUPTIONS.iter().map(|c| c.name()).collect::<Vec<_>>().join(", "),
    })
}

/// The corruptions of a named list: one of [`LISTS`], or `all`.
///
/// # Errors
/// No such list; the error carries the known ones.
pub fn list(name: &str) -> Result<Vec<&'static dyn Corruption>, Error> {
    if name == "all" {
        return Ok(CORRUPTIONS.to_vec());
    }
    let Some((_, names)) = LISTS.iter().find(|(n, _)| *n == name) else {
        let known = LISTS.iter().map(|(n, _)| *n).chain(["all"]).collect::<Vec<_>>().join(", ");
        return Err(Error::UnknownList { name: name.to_owned(), known });
    };
    names.iter().map(|n| find(n)).collect()
}
