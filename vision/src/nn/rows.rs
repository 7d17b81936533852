//! Moving rows: token embedding with image features in the image tokens' places, and the sum of further
//! features at those places (deepstack).
//!
//! Shapes: T tokens of the pack, N image tokens among them, V rows of the table, d width.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use super::buffers::Buffer;
use super::host::{Host, floats};
use super::layer::Mode;
use super::matmul::Write;
use super::simd::add;
use super::sink::Weight;

/// Rows `ids_t` of `table_vd` as `[T, d]`, those at `places_n` taken from `features_nd` instead.
///
/// The table's gradient goes to the mode's sink: candle would make three dense tables of it.
pub(crate) fn embed(
    features_nd: Option<&Tensor>,
    ids_t: &[u32],
    places_n: &[u32],
    table: &Weight,
    mode: &Mode,
) -> Result<Tensor> {
    let (vocab, width) = table.var().dims2()?;
    if let Some(id) = ids_t.iter().find(|&&id| id as usize >= vocab) {
        bail!("token id {id} outside an embedding of {vocab} rows");
    }
    let found = features_nd.map_or(Ok(0), |features| features.dim(0))?;
    if found != places_n.len() {
        bail!("{} image tokens for {found} image features", places_n.len());
    }
    let device = table.var().device();
    if mode.composes(table.var()) {
        let ids = Tensor::from_slice(ids_t, ids_t.len(), device)?;
        let rows = table.tensor().index_select(&ids, 0)?;
        let Some(features) = features_nd else { return Ok(rows) };
        let places = Tensor::from_slice(places_n, places_n.len(), device)?;
        let covered = rows.index_select(&places, 0)?;
        return rows.index_add(&places, &(features - covered.detach())?, 0)?.index_add(
            &places,
            &(covered.detach() - covered)?,
            0,
        );
    }
    if let Some(sink) = &mode.sink {
        sink.expect([table]);
    }
    let none = Tensor::zeros((0, width), DType::F32, device)?;
    let learns = table.is_trainable() || features_nd.is_some_and(Tensor::track_op);
    let mode = Mode { sink: mode.sink.clone().filter(|_| learns), ..mode.clone() };
    let anchor = mode.anchor()?;
    let op = Embed { ids: ids_t.to_vec(), places: places_n.to_vec(), table: table.clone(), mode };
    features_nd.unwrap_or(&none).contiguous()?.apply_op2(&anchor, op)
}

struct Embed {
    ids: Vec<u32>,
    places: Vec<u32>,
    table: Weight,
    mode: Mode,
}

impl CustomOp2 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        features: &CpuStorage,
        layout: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let (features, table) = (floats(features, layout)?, self.table.host()?);
        let mut rows = Buffer::new(self.ids.len() * width).into_vec();
        for (row, &id) in rows.chunks_exact_mut(width).zip(&self.ids) {
            row.copy_from_slice(&table[id as usize * width..][..width]);
        }
        for (&place, feature) in self.places.iter().zip(features.chunks_exact(width)) {
            rows[place as usize * width..][..width].copy_from_slice(feature);
        }
        Ok((CpuStorage::F32(rows), (self.ids.len(), width).into()))
    }

    fn bwd(
        &self,
        features: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, width) = features.dims2()?;
        let grad = grad.contiguous()?;
        let grad = Host::of(&grad)?;
        let row = |place: u32| &grad[place as usize * width..][..width];
        if let Some(sink) = &self.mode.sink {
            let mut covered = vec![false; self.ids.len()];
            self.places.iter().for_each(|&place| covered[place as usize] = true);
            sink.add(&self.table, |table, write| {
                if write == Write::Replace {
                    table.fill(0.0);
                }
                for (place, &id) in self.ids.iter().enumerate().filter(|(place, _)| !covered[*place]) {
                    add(&mut table[id as usize * width..][..width], row(place as u32));
                }
            });
            sink.settle([&self.table]);
        }
        if !features.track_op() {
            return Ok((None, None));
        }
        let d_features: Vec<f32> = self.places.iter().flat_map(|&place| row(place)).copied().collect();
        Ok((Some(Tensor::from_vec(d_features, features.shape(), features.device())?), None))
    }
}

/// `x_td` with `features_nd` added to the rows `places_n`.
pub(crate) fn add_rows(x_td: &Tensor, features_nd: &Tensor, places_n: &[u32]) -> Result<Tensor> {
    let places = Tensor::from_slice(places_n, places_n.len(), x_td.device())?;
    x_td.index_add(&places, features_nd, 0)
}
