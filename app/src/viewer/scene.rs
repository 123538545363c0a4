//! Draws the panes: from state and data to uniforms.
//!
//! All positions are worked out here in double precision and reach the programs as
//! affine functions of the pixel. The three-dimensional view is the dear part: it is
//! kept in an off-screen picture and cast again only when something it shows changed.

use std::collections::BTreeSet;
use std::rc::Rc;

use leptos::prelude::*;
use prism_core::volume::Affine;
use web_sys::{WebGl2RenderingContext as Gl, WebGlFramebuffer, WebGlTexture};

use super::camera::Camera;
use super::data::{DisplayColours, DisplayLabels, DisplayVolume, ViewerError};
use super::geometry::Plane;
use super::gl::Gpu;
use super::shown::Shown;
use super::state::{Pane, SolidMode, Window};

/// Where a pane lies on the canvas, in device pixels from the lower left.
pub type Rectangle = [i32; 4];

/// What a picture is drawn with besides the state.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Rectangle of each pane; empty for those not shown.
    pub panes: [Rectangle; 4],
    /// Pixels of the canvas a CSS pixel.
    pub density: f64,
    /// The same while nothing is dragged.
    pub sharp: f64,
    /// Colour of the crosshair.
    pub accent: [f32; 3],
    /// Whether the three-dimensional view is being turned and may be coarse.
    pub hurried: bool,
    /// Whether it may be left as it was for now, unless it is being turned.
    pub postpone: bool,
}

/// Everything the three-dimensional picture depends on.
#[derive(Clone, Debug, PartialEq)]
struct SolidKey {
    camera: Camera,
    structures: bool,
    window: Option<(Window, bool)>,
    hidden: BTreeSet<u8>,
    highlighted: Option<u8>,
    size: [i32; 2],
}

/// The context with what has been uploaded to it.
#[derive(Debug)]
pub struct Scene {
    /// The context.
    pub gpu: Gpu,
    scan: Option<(Rc<DisplayVolume>, WebGlTexture)>,
    labels: Option<(Rc<DisplayLabels>, WebGlTexture)>,
    colours: Option<(Rc<DisplayColours>, WebGlTexture)>,
    table: Option<WebGlTexture>,
    hidden: Option<BTreeSet<u8>>,
    picture: Option<(WebGlFramebuffer, WebGlTexture, [i32; 2])>,
    solid: Option<SolidKey>,
}

impl Scene {
    /// An empty scene.
    pub const fn new(gpu: Gpu) -> Self {
        Self {
            gpu,
            scan: None,
            labels: None,
            colours: None,
            table: None,
            hidden: None,
            picture: None,
            solid: None,
        }
    }

    /// Brings the graphics card up to date with the data.
    ///
    /// # Errors
    /// Those of the uploads; what was there before is then gone.
    pub fn update(&mut self, shown: &Shown) -> Result<(), ViewerError> {
        let gl = &self.gpu.gl;
        let volume = shown.volume.get_untracked();
        let same = match (&self.scan, &volume) {
            (Some((held, _)), Some(wanted)) => Rc::ptr_eq(held, wanted),
            (held, wanted) => held.is_none() && wanted.is_none(),
        };
        if !same {
            if let Some((_, texture)) = self.scan.take() {
                gl.delete_texture(Some(&texture));
            }
            self.solid = None;
            if let Some(volume) = volume {
                let texture = self.gpu.upload_scan(&volume)?;
                self.scan = Some((volume, texture));
            }
        }
        let labels = shown.labels.get_untracked();
        let same = match (&self.labels, &labels) {
            (Some((held, ..)), Some(wanted)) => Rc::ptr_eq(held, wanted),
            (held, wanted) => held.is_none() && wanted.is_none(),
        };
        if !same {
            if let Some((_, texture)) = self.labels.take() {
                gl.delete_texture(Some(&texture));
            }
            self.hidden = None;
            self.solid = None;
            if let Some(labels) = labels {
                let texture = self.gpu.upload_labels(&labels)?;
                self.labels = Some((labels, texture));
            }
        }
        let touched = shown.state.touched_labels.try_update_untracked(Option::take).flatten();
        if let (Some((labels, texture)), Some(part), true) = (&self.labels, touched, same) {
            // The three-dimensional view stays: casting it at every stroke is too dear.
            self.gpu.patch_labels(texture, labels, part);
        }
        let colours = shown.colours.get_untracked();
        let same = match (&self.colours, &colours) {
            (Some((held, ..)), Some(wanted)) => Rc::ptr_eq(held, wanted),
            (held, wanted) => held.is_none() && wanted.is_none(),
        };
        if !same {
            if let Some((_, texture)) = self.colours.take() {
                gl.delete_texture(Some(&texture));
            }
            if let Some(colours) = colours {
                let texture = self.gpu.upload_colours(&colours)?;
                self.colours = Some((colours, texture));
            }
        }
        let hidden = shown.state.hidden.get_untracked();
        if let (Some((labels, ..)), true) = (&self.labels, self.hidden.as_ref() != Some(&hidden)) {
            let table = self.table.take();
            self.table =
                self.gpu.upload_table(table, &labels.table, |index| hidden.contains(&index));
            self.hidden = Some(hidden);
        }
        Ok(())
    }

    /// Draws all panes. True when the three-dimensional view was postponed.
    ///
    /// # Errors
    /// Those of [`Scene::update`]; the panes are then black.
    pub fn draw(&mut self, shown: &Shown, surface: &Surface) -> Result<bool, ViewerError> {
        let gl = self.gpu.gl.clone();
        let updated = self.update(shown);
        gl.bind_framebuffer(Gl::FRAMEBUFFER, None);
        for [x, y, width, height] in surface.panes {
            gl.scissor(x, y, width, height);
            gl.clear_color(0.0, 0.0, 0.0, 1.0);
            gl.clear(Gl::COLOR_BUFFER_BIT);
        }
        updated?;
        if self.scan.is_none() {
            return Ok(false);
        }
        for plane in Plane::ALL {
            self.draw_plane(shown, plane, surface);
        }
        Ok(self.draw_solid(shown, surface).unwrap_or(false))
    }

    fn draw_plane(&self, shown: &Shown, plane: Plane, surface: &Surface) -> Option<()> {
        let rectangle = surface.panes[plane.at()];
        if rectangle[2] < 1 || rectangle[3] < 1 {
            return None;
        }
        let (volume, scan) = self.scan.as_ref()?;
        let frame = shown.frame.get_untracked()?;
        let projection = untrack(|| shown.projection(plane))?;
        let state = &shown.state;

        let crosshair = frame.frame_from_world(state.crosshair_mm.get_untracked());
        let depth = frame.on_slice(plane.through(), crosshair);
        let pixel = 1.0 / surface.density;
        let bottom = projection.size[1];
        let voxel = |at: [f64; 2]| frame.voxel_from_frame(projection.point(at, depth));
        let corner = voxel([0.0, bottom]);
        let right = difference(voxel([pixel, bottom]), corner);
        let up = difference(voxel([0.0, bottom - pixel]), corner);
        // The plane's own axis is on a slice already; rounding keeps it there.
        let blended = state.blended.get_untracked();
        let apart = if blended { [0.0; 3] } else { frame.thick_axes().map(f64::from) };

        let cross = projection.pixel(crosshair);
        let cross = [cross[0], bottom - cross[1]].map(|v| (v * surface.density).floor() + 0.5);
        let [red, green, blue] = surface.accent;
        let cross_alpha = if state.crosshair_shown.get_untracked() { 0.75 } else { 0.0 };
        let line = surface.density.round().max(1.0);

        let gpu = &self.gpu;
        gpu.bind(0, Gl::TEXTURE_3D, Some(scan));
        let mut uniforms = gpu
            .plane
            .enter(&gpu.gl)
            .int("scan", 0)
            .int("labels", 1)
            .int("table", 2)
            .pair("corner", [rectangle[0], rectangle[1]].map(f64::from))
            .triple("voxel", corner)
            .triple("voxel_right", right)
            .triple("voxel_up", up)
            .triple("scan_size", volume.dims.map(|n| n as f64))
            .triple("keep_apart", apart)
            .pair("window", self.window(shown))
            .float("line", line)
            .pair("cross_at", cross)
            .quad("cross_colour", [red, green, blue, cross_alpha])
            .float("cross_gap", 7.0 * surface.density)
            .float("opacity", 0.0)
            .int("highlighted", 0)
            .int("colours", 4)
            .float("colours_opacity", 0.0);
        if let Some((colours, texture)) = &self.colours
            && let Some(matrix) = other_from_voxel(volume, colours.affine)
        {
            gpu.bind(4, Gl::TEXTURE_3D, Some(texture));
            uniforms = uniforms
                .matrix4("colours_from_voxel", matrix)
                .triple("colours_size", colours.dims.map(|n| n as f64))
                .float("colours_opacity", untrack(|| state.opacity()));
        } else {
            gpu.bind(4, Gl::TEXTURE_3D, Some(scan));
            uniforms = uniforms.triple("colours_size", [1.0; 3]);
        }
        if let Some((labels, texture)) = &self.labels
            && self.colours.is_none()
            && let Some(matrix) = other_from_voxel(volume, labels.affine)
        {
            gpu.bind(1, Gl::TEXTURE_3D, Some(texture));
            gpu.bind(2, Gl::TEXTURE_2D, self.table.as_ref());
            let outlines = state.outlines.get_untracked();
            uniforms = uniforms
                .matrix4("label_from_voxel", matrix)
                .triple("label_size", labels.dims.map(|n| n as f64))
                .float("opacity", untrack(|| state.opacity()))
                .float("outlines", f64::from(u8::from(outlines)))
                .int("highlighted", state.highlighted.get_untracked().map_or(0, i32::from));
        } else {
            // A sampler must have a texture of its kind, even one not read.
            gpu.bind(1, Gl::TEXTURE_3D, Some(scan));
            uniforms = uniforms.triple("label_size", [1.0; 3]);
        }
        let _ = uniforms;
        gpu.cover(rectangle);
        Some(())
    }

    /// Offset and scale that take intensities in [0, 1] to black 0 and white 1.
    fn window(&self, shown: &Shown) -> [f64; 2] {
        let (start, end) = self.scan.as_ref().map_or((0.0, 1.0), |(volume, _)| {
            (f64::from(volume.range.0), f64::from(volume.range.1))
        });
        let range = if end > start { end - start } else { 1.0 };
        let (black, white) = shown.state.window.get_untracked().limits();
        let (black, white) =
            if shown.state.inverted.get_untracked() { (white, black) } else { (black, white) };
        [-(black - start) / range, range / (white - black)]
    }

    /// True when a picture that no longer fits was left as it was.
    fn draw_solid(&mut self, shown: &Shown, surface: &Surface) -> Option<bool> {
        let rectangle = surface.panes[Pane::Solid.at()];
        if rectangle[2] < 1 || rectangle[3] < 1 {
            return None;
        }
        let frame = shown.frame.get_untracked()?;
        let scale = untrack(|| shown.solid_scale())?;
        let size = shown.sizes.get_untracked()[Pane::Solid.at()];
        let camera = shown.state.camera.get_untracked();
        let fraction = match (self.gpu.software, surface.hurried) {
            (true, true) => 0.35,
            (true, false) => 0.75,
            (false, true) => 0.75,
            (false, false) => 1.0,
        };
        let pixels = size.map(|side| ((side * surface.sharp * fraction) as i32).max(1));
        let key = self.solid_key(shown, camera, pixels);
        let stale = self.solid.as_ref() != Some(&key);
        let postponed = stale && surface.postpone && !surface.hurried;
        if stale && !postponed {
            let density = f64::from(pixels[0]) / size[0].max(1.0);
            self.cast(shown, &key, scale * density)?;
            self.solid = Some(key);
        }

        // The crosshair, as a ring that is always in sight.
        let axes = camera.axes();
        let crosshair = frame.frame_from_world(shown.state.crosshair_mm.get_untracked());
        let from_centre = difference(crosshair, shown.content.get_untracked()?.centre);
        let at = [
            size[0] / 2.0 + (dot(from_centre, axes.right) + camera.pan_mm[0]) * scale,
            size[1] / 2.0 + (dot(from_centre, axes.up) + camera.pan_mm[1]) * scale,
        ];
        let [red, green, blue] = surface.accent;
        let alpha = if shown.state.crosshair_shown.get_untracked() { 0.85 } else { 0.0 };
        let gpu = &self.gpu;
        let Some((_, texture, _)) = &self.picture else { return Some(postponed) };
        gpu.bind(3, Gl::TEXTURE_2D, Some(texture));
        gpu.copy
            .enter(&gpu.gl)
            .int("picture", 3)
            .pair("corner", [rectangle[0], rectangle[1]].map(f64::from))
            .pair("size", [rectangle[2], rectangle[3]].map(f64::from))
            .pair("cross_at", at.map(|v| v * surface.density))
            .quad("cross_colour", [red, green, blue, alpha])
            .float("line", surface.density.max(1.0))
            .float("cross_gap", 5.0 * surface.density);
        gpu.cover(rectangle);
        Some(postponed)
    }

    fn solid_key(&self, shown: &Shown, camera: Camera, size: [i32; 2]) -> SolidKey {
        let state = &shown.state;
        let structures =
            self.labels.is_some() && state.solid.get_untracked() == SolidMode::Structures;
        let window = (state.window.get_untracked(), state.inverted.get_untracked());
        SolidKey {
            camera,
            structures,
            window: (!structures).then_some(window),
            hidden: if structures { state.hidden.get_untracked() } else { BTreeSet::new() },
            highlighted: if structures { state.highlighted.get_untracked() } else { None },
            size,
        }
    }

    /// Casts the rays of the three-dimensional view into its off-screen picture, at
    /// `scale` of its pixels a millimetre.
    fn cast(&mut self, shown: &Shown, key: &SolidKey, scale: f64) -> Option<()> {
        let frame = shown.frame.get_untracked()?;
        if self.picture.as_ref().is_none_or(|(_, _, size)| *size != key.size) {
            if let Some((buffer, texture, _)) = self.picture.take() {
                self.gpu.gl.delete_framebuffer(Some(&buffer));
                self.gpu.gl.delete_texture(Some(&texture));
            }
            let (buffer, texture) = self.gpu.target(key.size[0], key.size[1])?;
            self.picture = Some((buffer, texture, key.size));
        }
        let (buffer, ..) = self.picture.as_ref()?;
        let (volume, scan) = self.scan.as_ref()?;
        let gpu = &self.gpu;
        let (grid, dims, affine) = match (&self.labels, key.structures) {
            (Some((labels, texture)), true) => (texture, labels.dims, labels.affine),
            _ => (scan, volume.dims, volume.affine),
        };
        let content = shown.content.get_untracked()?;
        let grid_from_world = affine.inverse().ok()?;
        let on_grid = |point: [f64; 3]| {
            let voxel = grid_from_world.apply(frame.world_from_frame(point));
            [0, 1, 2].map(|axis| (voxel[axis] + 0.5) / dims[axis] as f64)
        };
        let axes = key.camera.axes();
        let zero = on_grid([0.0; 3]);
        let along = |direction: [f64; 3]| difference(on_grid(direction), zero);
        // Start of the ray of the lower left pixel: on the plane through the middle.
        let pixel_mm = 1.0 / scale;
        let left = -f64::from(key.size[0]) / 2.0 * pixel_mm - key.camera.pan_mm[0];
        let bottom = -f64::from(key.size[1]) / 2.0 * pixel_mm - key.camera.pan_mm[1];
        let start = [0, 1, 2]
            .map(|axis| content.centre[axis] + left * axes.right[axis] + bottom * axes.up[axis]);
        let eye = axes.forward.map(|v| -v);
        let light =
            unit([0, 1, 2].map(|axis| eye[axis] + 0.55 * axes.up[axis] - 0.45 * axes.right[axis]));
        let finest = affine.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        let stride = finest * if gpu.software { 1.25 } else { 0.75 };

        gpu.gl.bind_framebuffer(Gl::FRAMEBUFFER, Some(buffer));
        gpu.bind(0, Gl::TEXTURE_3D, Some(grid));
        gpu.bind(2, Gl::TEXTURE_2D, self.table.as_ref());
        gpu.solid
            .enter(&gpu.gl)
            .int("grid", 0)
            .int("table", 2)
            .triple("origin", on_grid(start))
            .triple("right", along(axes.right).map(|v| v * pixel_mm))
            .triple("up", along(axes.up).map(|v| v * pixel_mm))
            .triple("forward", along(axes.forward))
            .matrix3(
                "grid_from_frame",
                [along([1.0, 0.0, 0.0]), along([0.0, 1.0, 0.0]), along([0.0, 0.0, 1.0])],
            )
            .triple("light", light)
            .triple("eye", eye)
            .float("stride", stride)
            .float("voxel_mm", finest)
            .pair("window", self.window(shown))
            .int("projection", i32::from(!key.structures))
            .int("highlighted", key.highlighted.map_or(0, i32::from))
            .triple("box_low", content.bounds.map(|[low, _]| low))
            .triple("box_high", content.bounds.map(|[_, high]| high))
            .triple("ground", [0.0; 3]);
        gpu.cover([0, 0, key.size[0], key.size[1]]);
        gpu.gl.bind_framebuffer(Gl::FRAMEBUFFER, None);
        Some(())
    }
}

/// Voxel of another grid from scan voxel, column by column.
fn other_from_voxel(volume: &DisplayVolume, other: Affine) -> Option<[[f64; 4]; 4]> {
    let other_from_world = other.inverse().ok()?;
    let of = |voxel: [f64; 3]| other_from_world.apply(volume.affine.apply(voxel));
    let zero = of([0.0; 3]);
    let column = |voxel: [f64; 3]| {
        let [x, y, z] = difference(of(voxel), zero);
        [x, y, z, 0.0]
    };
    Some([
        column([1.0, 0.0, 0.0]),
        column([0.0, 1.0, 0.0]),
        column([0.0, 0.0, 1.0]),
        [zero[0], zero[1], zero[2], 1.0],
    ])
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    let length = dot(a, a).sqrt().max(1e-12);
    a.map(|v| v / length)
}
