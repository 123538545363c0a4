//! The drawing programs (GLSL ES 3.00).
//!
//! Everything is drawn as one triangle that covers a pane; what a pixel shows is
//! worked out in its fragment. Positions reach the programs as affine functions of
//! the pixel, computed in double precision by `scene.rs`.

/// One triangle that covers the pane.
pub const COVER: &str = r"#version 300 es
void main() {
    vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    gl_Position = vec4(corner, 0.0, 1.0);
}";

/// A plane: scan, structures, crosshair.
pub const PLANE: &str = r"#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
uniform sampler3D scan;
uniform sampler3D labels;
uniform sampler2D table;
uniform vec2 corner;          // lower left pixel of the pane
uniform vec3 voxel;           // scan voxel there,
uniform vec3 voxel_right;     // and its change a pixel
uniform vec3 voxel_up;
uniform vec3 scan_size;
uniform vec3 keep_apart;      // 1 on voxel axes that are not blended
uniform vec2 window;          // offset and scale of intensities
uniform mat4 label_from_voxel;
uniform vec3 label_size;
uniform float opacity;
uniform float outlines;       // 1: outlines only
uniform sampler3D colours;    // laid over the scan, multiplied by their alpha
uniform mat4 colours_from_voxel;
uniform vec3 colours_size;
uniform float colours_opacity;
uniform int highlighted;
uniform float line;           // width of a line in pixels
uniform vec2 cross_at;        // pixel of the crosshair
uniform vec4 cross_colour;
uniform float cross_gap;
out vec4 colour;

vec3 voxel_at(vec2 pixel) {
    vec3 at = voxel + pixel.x * voxel_right + pixel.y * voxel_up;
    return mix(at, floor(at + 0.5), keep_apart);
}

bool inside(vec3 at) {
    return all(greaterThanEqual(at, vec3(0.0))) && all(lessThanEqual(at, vec3(1.0)));
}

// Index of the structure drawn at a pixel; 0 where there is none or it is hidden.
int structure_at(vec2 pixel) {
    vec3 at = ((label_from_voxel * vec4(voxel_at(pixel), 1.0)).xyz + 0.5) / label_size;
    if (!inside(at)) return 0;
    int index = int(texture(labels, at).r * 255.0 + 0.5);
    if (index == 0) return 0;
    return texelFetch(table, ivec2(index, 0), 0).a > 0.25 ? index : 0;
}

void main() {
    vec2 pixel = gl_FragCoord.xy - corner;
    vec3 at = (voxel_at(pixel) + 0.5) / scan_size;
    float grey = 0.0;
    if (inside(at)) grey = clamp((texture(scan, at).r + window.x) * window.y, 0.0, 1.0);
    vec3 picture = vec3(grey);

    if (colours_opacity > 0.0) {
        vec3 there = (colours_from_voxel * vec4(voxel_at(pixel), 1.0)).xyz;
        there = (there + 0.5) / colours_size;
        if (inside(there)) {
            vec4 tint = texture(colours, there) * colours_opacity;
            picture = picture * (1.0 - tint.a) + tint.rgb;
        }
    }

    if (opacity > 0.0) {
        int here = structure_at(pixel);
        int east = here, west = here, north = here, south = here;
        if (here > 0 || highlighted > 0) {
            east = structure_at(pixel + vec2(line, 0.0));
            west = structure_at(pixel - vec2(line, 0.0));
            north = structure_at(pixel + vec2(0.0, line));
            south = structure_at(pixel - vec2(0.0, line));
        }
        bool edge = east != here || west != here || north != here || south != here;
        if (here > 0) {
            vec3 tint = texelFetch(table, ivec2(here, 0), 0).rgb;
            float strength = opacity;
            if (highlighted > 0) {
                if (here == highlighted) {
                    tint = mix(tint, vec3(1.0), 0.18);
                    strength = min(1.0, opacity * 0.6 + 0.4);
                } else {
                    strength *= 0.45;
                }
            }
            float fill = outlines > 0.5 ? (here == highlighted ? 0.35 * strength : 0.0) : strength;
            float rim = outlines > 0.5 ? min(1.0, strength * 0.5 + 0.5) : min(1.0, strength * 1.25);
            if (outlines > 0.5 && highlighted > 0 && here != highlighted) rim *= 0.6;
            picture = mix(picture, tint, edge ? rim : fill);
        }
        bool beside = east == highlighted || west == highlighted
            || north == highlighted || south == highlighted;
        if (highlighted > 0 && here != highlighted && beside) {
            picture = mix(picture, vec3(1.0), 0.9);
        }
    }

    vec2 away = abs(pixel - cross_at);
    bool on_line = min(away.x, away.y) < 0.5 * line && max(away.x, away.y) > cross_gap;
    if (on_line) picture = mix(picture, cross_colour.rgb, cross_colour.a);
    colour = vec4(picture, 1.0);
}";

/// The three-dimensional view: first visible surface, or maximum intensity.
pub const SOLID: &str = r"#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
uniform sampler3D grid;       // labels, or the scan for the projection
uniform sampler2D table;
uniform vec3 origin;          // grid position (0 to 1) of the lower left pixel,
uniform vec3 right;           // its change a pixel,
uniform vec3 up;
uniform vec3 forward;         // and a millimetre away from the eye
uniform mat3 grid_from_frame; // change a millimetre of right, front, head
uniform vec3 light;           // frame direction towards the light
uniform vec3 eye;             // frame direction towards the eye
uniform float stride;         // millimetres a step
uniform float voxel_mm;
uniform vec2 window;
uniform int projection;       // 1: maximum intensity
uniform int highlighted;
uniform vec3 ground;
uniform vec3 box_low;         // part of the grid that holds anything
uniform vec3 box_high;
out vec4 colour;

// Index of the structure at a grid position; 0 where there is none, where it is
// hidden, or where it is a fluid that would wrap everything.
int structure_at(vec3 at) {
    int index = int(texture(grid, at).r * 255.0 + 0.5);
    if (index == 0) return 0;
    return texelFetch(table, ivec2(index, 0), 0).a > 0.75 ? index : 0;
}

bool solid(int index, bool only) {
    return only ? index == highlighted : index > 0;
}

// Outward direction of the surface: away from the weight of the neighbourhood.
vec3 normal_at(vec3 at, bool only) {
    vec3 sum = vec3(0.0);
    for (int x = -2; x <= 2; x++)
    for (int y = -2; y <= 2; y++)
    for (int z = -2; z <= 2; z++) {
        vec3 step_mm = vec3(float(x), float(y), float(z));
        float near = exp(-0.3 * dot(step_mm, step_mm));
        vec3 there = at + grid_from_frame * (step_mm * voxel_mm);
        if (solid(structure_at(there), only)) sum -= near * step_mm;
    }
    return dot(sum, sum) > 1e-8 ? normalize(sum) : eye;
}

void main() {
    vec3 from = origin + gl_FragCoord.x * right + gl_FragCoord.y * up;
    vec3 one_over = 1.0 / mix(forward, vec3(1e-9), lessThan(abs(forward), vec3(1e-9)));
    vec3 low = (box_low - from) * one_over;
    vec3 high = (box_high - from) * one_over;
    vec3 first = min(low, high);
    vec3 last = max(low, high);
    float enter = max(first.x, max(first.y, first.z));
    float leave = min(last.x, min(last.y, last.z));
    colour = vec4(ground, 1.0);
    if (enter >= leave) return;

    if (projection == 1) {
        float most = -1e6;
        for (float t = enter + 0.5 * stride; t < leave; t += stride) {
            // What is further away is dimmer, so that depth is seen.
            float value = (texture(grid, from + t * forward).r + window.x) * window.y;
            most = max(most, value * (1.0 - 0.45 * (t - enter) / (leave - enter)));
        }
        colour.rgb = mix(ground, vec3(0.96), pow(clamp(0.9 * most, 0.0, 1.0), 1.6));
        return;
    }

    bool glass = highlighted > 0;
    bool outside = true;
    vec3 film = vec3(0.0);
    float film_alpha = 0.0;
    for (float t = enter + 0.5 * stride; t < leave; t += stride) {
        vec3 at = from + t * forward;
        int index = structure_at(at);
        if (index == 0) continue;
        bool wanted = !glass || index == highlighted;
        if (!wanted && !outside) continue;
        // The surface lies between the last step and this one.
        float before = t - stride;
        float after = t;
        for (int halving = 0; halving < 5; halving++) {
            float middle = 0.5 * (before + after);
            bool hit = solid(structure_at(from + middle * forward), glass && wanted);
            if (hit) after = middle; else before = middle;
        }
        vec3 surface = from + after * forward;
        vec3 normal = normal_at(surface, glass && wanted);
        float facing = max(dot(normal, eye), 0.0);
        if (wanted) {
            int shown = structure_at(surface + forward * 0.25 * voxel_mm);
            if (shown == 0) shown = index;
            vec3 tint = texelFetch(table, ivec2(shown, 0), 0).rgb;
            tint = mix(tint, vec3(dot(tint, vec3(0.299, 0.587, 0.114))), 0.16);
            float lit = 0.30 + 0.62 * max(dot(normal, light), 0.0) + 0.12 * facing;
            float glint = pow(max(dot(normal, normalize(light + eye)), 0.0), 24.0) * 0.10;
            float depth = clamp((t - enter) / max(leave - enter, 1e-3), 0.0, 1.0);
            vec3 body = tint * lit * (1.0 - 0.25 * depth) + glint;
            colour.rgb = mix(body, film, film_alpha);
            return;
        }
        outside = false;
        film = vec3(0.72, 0.78, 0.84);
        film_alpha = 0.08 + 0.42 * pow(1.0 - facing, 2.0);
    }
    colour.rgb = mix(ground, film, film_alpha);
}";

/// Copies the finished three-dimensional view into its pane, with the crosshair.
pub const COPY: &str = r"#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec2 corner;
uniform vec2 size;
uniform vec2 cross_at;
uniform vec4 cross_colour;
uniform float line;
uniform float cross_gap;
out vec4 colour;
void main() {
    vec2 pixel = gl_FragCoord.xy - corner;
    vec3 shown = texture(picture, pixel / size).rgb;
    float ring = abs(distance(pixel, cross_at) - cross_gap);
    shown = mix(shown, cross_colour.rgb, cross_colour.a * (1.0 - smoothstep(0.3, 1.3, ring / line)));
    colour = vec4(shown, 1.0);
}";
