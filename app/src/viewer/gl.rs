//! A thin layer over WebGL 2: context, programs, textures, and their errors.
//!
//! One context draws all panes, so the scan lies on the graphics card once. Whoever
//! holds a [`Gpu`] may lose it at any time (the browser takes contexts away): it
//! keeps nothing that cannot be uploaded again.

use std::cell::RefCell;
use std::collections::HashMap;

use prism_core::volume::LabelTable;
use wasm_bindgen::JsCast;
use web_sys::{
    HtmlCanvasElement, WebGl2RenderingContext as Gl, WebGlContextAttributes, WebGlFramebuffer,
    WebGlProgram, WebGlTexture, WebGlUniformLocation,
};

use super::data::{DisplayColours, DisplayLabels, DisplayVolume, ViewerError};
use super::shaders;

/// `UNMASKED_RENDERER_WEBGL` of the extension `WEBGL_debug_renderer_info`.
const UNMASKED_RENDERER: u32 = 0x9246;

/// FreeSurfer id of the fluid around the brain: a surface of it would hide the rest.
const CEREBROSPINAL_FLUID: u16 = 24;

/// The context and its programs.
#[derive(Debug)]
pub struct Gpu {
    /// The context.
    pub gl: Gl,
    /// Draws a plane.
    pub plane: Program,
    /// Draws the three-dimensional view.
    pub solid: Program,
    /// Copies it into its pane.
    pub copy: Program,
    /// Longest axis of a 3D texture in voxels.
    pub limit: usize,
    /// Whether the processor does the drawing, so that pixels are dear.
    pub software: bool,
}

impl Gpu {
    /// Opens the context of a canvas.
    ///
    /// # Errors
    /// [`ViewerError::NoWebGl2`], or [`ViewerError::Program`] with the driver's words.
    pub fn open(canvas: &HtmlCanvasElement) -> Result<Self, ViewerError> {
        let wanted = WebGlContextAttributes::new();
        wanted.set_antialias(false);
        wanted.set_depth(false);
        wanted.set_stencil(false);
        let gl = canvas
            .get_context_with_context_options("webgl2", &wanted)
            .ok()
            .flatten()
            .and_then(|context| context.dyn_into::<Gl>().ok())
            .ok_or(ViewerError::NoWebGl2)?;
        if gl.is_context_lost() {
            return Err(ViewerError::ContextLost);
        }
        let limit = gl
            .get_parameter(Gl::MAX_3D_TEXTURE_SIZE)
            .ok()
            .and_then(|value| value.as_f64())
            .map_or(256, |value| value as usize);
        // Asking for the extension is what unlocks the name.
        let unmasked = gl.get_extension("WEBGL_debug_renderer_info").ok().flatten().is_some();
        let renderer = gl
            .get_parameter(if unmasked { UNMASKED_RENDERER } else { Gl::RENDERER })
            .ok()
            .and_then(|value| value.as_string())
            .unwrap_or_default();
        let software = ["SwiftShader", "llvmpipe", "Software", "Basic Render"]
            .iter()
            .any(|name| renderer.contains(name));
        let plane = Program::build(&gl, shaders::PLANE)?;
        let solid = Program::build(&gl, shaders::SOLID)?;
        let copy = Program::build(&gl, shaders::COPY)?;
        gl.enable(Gl::SCISSOR_TEST);
        gl.disable(Gl::BLEND);
        gl.disable(Gl::DITHER);
        Ok(Self { gl, plane, solid, copy, limit, software })
    }

    /// Restricts drawing to a rectangle (device pixels, from the lower left) and
    /// covers it with the program in use.
    pub fn cover(&self, [x, y, width, height]: [i32; 4]) {
        self.gl.viewport(x, y, width, height);
        self.gl.scissor(x, y, width, height);
        self.gl.draw_arrays(Gl::TRIANGLES, 0, 3);
    }

    /// Puts a texture on a unit.
    pub fn bind(&self, unit: u32, target: u32, texture: Option<&WebGlTexture>) {
        self.gl.active_texture(Gl::TEXTURE0 + unit);
        self.gl.bind_texture(target, texture);
    }

    /// Uploads the scan.
    ///
    /// # Errors
    /// [`ViewerError::TooLarge`], [`ViewerError::Size`] or [`ViewerError::OutOfMemory`].
    pub fn upload_scan(&self, volume: &DisplayVolume) -> Result<WebGlTexture, ViewerError> {
        let what = "scan";
        self.check(what, volume.dims, volume.half.length() as usize)?;
        let format = (Gl::R16F, Gl::RED, Gl::HALF_FLOAT, Gl::LINEAR, 2);
        self.upload(what, volume.dims, format, &volume.half)
    }

    /// Uploads the labels.
    ///
    /// # Errors
    /// As [`Gpu::upload_scan`].
    pub fn upload_labels(&self, labels: &DisplayLabels) -> Result<WebGlTexture, ViewerError> {
        let what = "label map";
        self.check(what, labels.dims, labels.indices.length() as usize)?;
        let format = (Gl::R8, Gl::RED, Gl::UNSIGNED_BYTE, Gl::NEAREST, 1);
        self.upload(what, labels.dims, format, &labels.indices)
    }

    /// Uploads colours.
    ///
    /// # Errors
    /// As [`Gpu::upload_scan`].
    pub fn upload_colours(&self, colours: &DisplayColours) -> Result<WebGlTexture, ViewerError> {
        let what = "colour map";
        self.check(what, colours.dims, colours.rgba.length() as usize / 4)?;
        let format = (Gl::RGBA8, Gl::RGBA, Gl::UNSIGNED_BYTE, Gl::LINEAR, 4);
        self.upload(what, colours.dims, format, &colours.rgba)
    }

    /// Uploads a box of the labels again, `[first, end)` along x, y, z.
    pub fn patch_labels(
        &self,
        texture: &WebGlTexture,
        labels: &DisplayLabels,
        part: [[usize; 2]; 3],
    ) {
        let gl = &self.gl;
        self.bind(0, Gl::TEXTURE_3D, Some(texture));
        let [first, size] = [part.map(|[a, _]| a as i32), part.map(|[a, b]| (b - a) as i32)];
        let within = [
            (Gl::UNPACK_ROW_LENGTH, labels.dims[0] as i32),
            (Gl::UNPACK_IMAGE_HEIGHT, labels.dims[1] as i32),
            (Gl::UNPACK_SKIP_PIXELS, first[0]),
            (Gl::UNPACK_SKIP_ROWS, first[1]),
            (Gl::UNPACK_SKIP_IMAGES, first[2]),
        ];
        gl.pixel_storei(Gl::UNPACK_ALIGNMENT, 1);
        within.iter().for_each(|&(name, value)| gl.pixel_storei(name, value));
        // A refusal leaves the old picture of a few voxels.
        let _refused = gl.tex_sub_image_3d_with_opt_array_buffer_view(
            Gl::TEXTURE_3D,
            0,
            first[0],
            first[1],
            first[2],
            size[0],
            size[1],
            size[2],
            Gl::RED,
            Gl::UNSIGNED_BYTE,
            Some(&labels.indices),
        );
        within.iter().for_each(|&(name, _)| gl.pixel_storei(name, 0));
    }

    fn check(
        &self,
        what: &'static str,
        dims: [usize; 3],
        actual: usize,
    ) -> Result<(), ViewerError> {
        if dims.iter().any(|&n| n > self.limit) {
            return Err(ViewerError::TooLarge { what, dims, limit: self.limit });
        }
        let expected = dims.iter().product();
        if actual == expected { Ok(()) } else { Err(ViewerError::Size { what, expected, actual }) }
    }

    fn upload(
        &self,
        what: &'static str,
        dims: [usize; 3],
        (stored, format, kind, filter, bytes): (u32, u32, u32, u32, i32),
        data: &js_sys::Object,
    ) -> Result<WebGlTexture, ViewerError> {
        let gl = &self.gl;
        let megabytes = dims.iter().product::<usize>() * bytes as usize / 1_000_000;
        let full = || ViewerError::OutOfMemory { what, megabytes };
        let texture = gl.create_texture().ok_or_else(full)?;
        while gl.get_error() != Gl::NO_ERROR && !gl.is_context_lost() {}
        self.bind(0, Gl::TEXTURE_3D, Some(&texture));
        gl.pixel_storei(Gl::UNPACK_ALIGNMENT, bytes);
        let [x, y, z] = dims.map(|n| n as i32);
        let sent = gl.tex_image_3d_with_opt_array_buffer_view(
            Gl::TEXTURE_3D,
            0,
            stored as i32,
            x,
            y,
            z,
            0,
            format,
            kind,
            Some(data),
        );
        for name in [Gl::TEXTURE_MIN_FILTER, Gl::TEXTURE_MAG_FILTER] {
            gl.tex_parameteri(Gl::TEXTURE_3D, name, filter as i32);
        }
        for name in [Gl::TEXTURE_WRAP_S, Gl::TEXTURE_WRAP_T, Gl::TEXTURE_WRAP_R] {
            gl.tex_parameteri(Gl::TEXTURE_3D, name, Gl::CLAMP_TO_EDGE as i32);
        }
        if sent.is_err() || gl.get_error() != Gl::NO_ERROR {
            gl.delete_texture(Some(&texture));
            return Err(full());
        }
        Ok(texture)
    }

    /// Uploads the colours. Alpha is 0 for labels that are not drawn, a half for
    /// those drawn in planes only; `texture` is reused when there is one.
    pub fn upload_table(
        &self,
        texture: Option<WebGlTexture>,
        table: &LabelTable,
        hidden: impl Fn(u8) -> bool,
    ) -> Option<WebGlTexture> {
        let mut colours = [0_u8; 256 * 4];
        for label in table.labels.iter().filter(|label| label.index > 0) {
            let [red, green, blue] = label.color;
            let alpha = match (hidden(label.index), label.id == CEREBROSPINAL_FLUID) {
                (true, _) => 0,
                (false, true) => 128,
                (false, false) => 255,
            };
            let at = usize::from(label.index) * 4;
            colours[at..at + 4].copy_from_slice(&[red, green, blue, alpha]);
        }
        let texture = texture.or_else(|| self.gl.create_texture())?;
        self.bind(2, Gl::TEXTURE_2D, Some(&texture));
        self.picture(256, 1, Some(&colours), Gl::NEAREST);
        Some(texture)
    }

    /// An off-screen picture to draw into: frame buffer and texture.
    pub fn target(&self, width: i32, height: i32) -> Option<(WebGlFramebuffer, WebGlTexture)> {
        let gl = &self.gl;
        let texture = gl.create_texture()?;
        self.bind(3, Gl::TEXTURE_2D, Some(&texture));
        self.picture(width, height, None, Gl::LINEAR);
        let buffer = gl.create_framebuffer()?;
        gl.bind_framebuffer(Gl::FRAMEBUFFER, Some(&buffer));
        gl.framebuffer_texture_2d(
            Gl::FRAMEBUFFER,
            Gl::COLOR_ATTACHMENT0,
            Gl::TEXTURE_2D,
            Some(&texture),
            0,
        );
        gl.bind_framebuffer(Gl::FRAMEBUFFER, None);
        Some((buffer, texture))
    }

    /// Allocates the bound 2D texture as RGBA8.
    fn picture(&self, width: i32, height: i32, data: Option<&[u8]>, filter: u32) {
        let gl = &self.gl;
        gl.pixel_storei(Gl::UNPACK_ALIGNMENT, 4);
        // A refusal leaves the texture black; it is a few megabytes at most.
        let _refused = gl
            .tex_image_2d_with_i32_and_i32_and_i32_and_format_and_type_and_opt_u8_array(
                Gl::TEXTURE_2D,
                0,
                Gl::RGBA8 as i32,
                width,
                height,
                0,
                Gl::RGBA,
                Gl::UNSIGNED_BYTE,
                data,
            );
        for name in [Gl::TEXTURE_MIN_FILTER, Gl::TEXTURE_MAG_FILTER] {
            gl.tex_parameteri(Gl::TEXTURE_2D, name, filter as i32);
        }
        for name in [Gl::TEXTURE_WRAP_S, Gl::TEXTURE_WRAP_T] {
            gl.tex_parameteri(Gl::TEXTURE_2D, name, Gl::CLAMP_TO_EDGE as i32);
        }
    }
}

/// A linked program and the places of its uniforms.
#[derive(Debug)]
pub struct Program {
    program: WebGlProgram,
    places: RefCell<HashMap<&'static str, Option<WebGlUniformLocation>>>,
}

impl Program {
    fn build(gl: &Gl, fragment: &str) -> Result<Self, ViewerError> {
        let none = || ViewerError::Program("no room for it".into());
        let program = gl.create_program().ok_or_else(none)?;
        let stages = [(Gl::VERTEX_SHADER, shaders::COVER), (Gl::FRAGMENT_SHADER, fragment)];
        for (kind, source) in stages {
            let shader = gl.create_shader(kind).ok_or_else(none)?;
            gl.shader_source(&shader, source);
            gl.compile_shader(&shader);
            if gl.get_shader_parameter(&shader, Gl::COMPILE_STATUS).as_bool() != Some(true) {
                let log = gl.get_shader_info_log(&shader).unwrap_or_default();
                return Err(ViewerError::Program(log));
            }
            gl.attach_shader(&program, &shader);
        }
        gl.link_program(&program);
        if gl.get_program_parameter(&program, Gl::LINK_STATUS).as_bool() != Some(true) {
            return Err(ViewerError::Program(
                gl.get_program_info_log(&program).unwrap_or_default(),
            ));
        }
        Ok(Self { program, places: RefCell::default() })
    }

    /// Makes this the program in use.
    pub fn enter<'a>(&'a self, gl: &'a Gl) -> Uniforms<'a> {
        gl.use_program(Some(&self.program));
        Uniforms { gl, program: self }
    }
}

/// Sets uniforms of the program in use. Names a program lacks are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Uniforms<'a> {
    gl: &'a Gl,
    program: &'a Program,
}

impl Uniforms<'_> {
    fn with(
        self,
        name: &'static str,
        set: impl FnOnce(&Gl, Option<&WebGlUniformLocation>),
    ) -> Self {
        let mut places = self.program.places.borrow_mut();
        let place = places
            .entry(name)
            .or_insert_with(|| self.gl.get_uniform_location(&self.program.program, name));
        set(self.gl, place.as_ref());
        drop(places);
        self
    }

    /// A whole number, or the unit of a sampler.
    pub fn int(self, name: &'static str, value: i32) -> Self {
        self.with(name, |gl, place| gl.uniform1i(place, value))
    }

    /// One number.
    pub fn float(self, name: &'static str, value: f64) -> Self {
        self.with(name, |gl, place| gl.uniform1f(place, value as f32))
    }

    /// Two numbers.
    pub fn pair(self, name: &'static str, [x, y]: [f64; 2]) -> Self {
        self.with(name, |gl, place| gl.uniform2f(place, x as f32, y as f32))
    }

    /// Three numbers.
    pub fn triple(self, name: &'static str, [x, y, z]: [f64; 3]) -> Self {
        self.with(name, |gl, place| gl.uniform3f(place, x as f32, y as f32, z as f32))
    }

    /// Four numbers.
    pub fn quad(self, name: &'static str, [x, y, z, w]: [f32; 4]) -> Self {
        self.with(name, |gl, place| gl.uniform4f(place, x, y, z, w))
    }

    /// A 3 x 3 matrix, column by column.
    pub fn matrix3(self, name: &'static str, columns: [[f64; 3]; 3]) -> Self {
        let flat = columns.as_flattened().iter().map(|&v| v as f32).collect::<Vec<_>>();
        self.with(name, |gl, place| gl.uniform_matrix3fv_with_f32_array(place, false, &flat))
    }

    /// A 4 x 4 matrix, column by column.
    pub fn matrix4(self, name: &'static str, columns: [[f64; 4]; 4]) -> Self {
        let flat = columns.as_flattened().iter().map(|&v| v as f32).collect::<Vec<_>>();
        self.with(name, |gl, place| gl.uniform_matrix4fv_with_f32_array(place, false, &flat))
    }
}
