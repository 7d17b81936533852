//! Every corruption by name, and the named lists.

use crate::{Corruption, Error, blur, digital, mask, noise, weather};

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
    &digital::SATURATE,
    &mask::BLOCKS,
];

/// Named lists of corruptions; `all` is the whole table.
pub const LISTS: &[(&str, &[&str])] = &[];

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
