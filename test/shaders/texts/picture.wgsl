struct P{
threads:u32,
width:u32,
columns:u32,
height:u32,
pixelStride:u32,
planeStride:u32,
channels:u32,
a:f32,b:f32,c:f32,d:f32,e:f32,f:f32,g:f32,h:f32,i:f32,
mean0:f32,mean1:f32,mean2:f32,
scale0:f32,scale1:f32,scale2:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f32;
alias real4=vec4<real>;
@group(0)@binding(1)var<storage,read_write>y:array<real>;
@group(0)@binding(2)var image:texture_2d<f32>;
fn texel(x:i32,y:i32)->vec3f{
return round(textureLoad(image,vec2i(x,y),0).rgb*255.0);
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let at=thread(id);
if(at>=p.threads){return;}
let column=at%p.width;
let row=at/p.width;
var value=vec3f(0.0);
if(column<p.columns){
let u=(f32(column)+0.5)/f32(p.columns);
let v=(f32(row)+0.5)/f32(p.height);
let depth=p.g*u+p.h*v+p.i;
let last=vec2f(textureDimensions(image))-1.0;
let place=clamp(vec2f(p.a*u+p.b*v+p.c,p.d*u+p.e*v+p.f)/depth-0.5,vec2f(0.0),last);
let low=vec2i(floor(place));
let high=min(low+1,vec2i(last));
let part=place-floor(place);
let top=mix(texel(low.x,low.y),texel(high.x,low.y),part.x);
let bottom=mix(texel(low.x,high.y),texel(high.x,high.y),part.x);
var pixel=mix(top,bottom,part.y);
if(p.channels==1u){pixel=pixel.bgr;}
if(p.channels==2u){pixel=vec3f(dot(pixel,vec3f(0.299,0.587,0.114)));}
value=(pixel-vec3f(p.mean0,p.mean1,p.mean2))*vec3f(p.scale0,p.scale1,p.scale2);
}
let to=row*p.width+column;
y[to*p.pixelStride]=real(value.x);
if(p.channels!=2u){
y[to*p.pixelStride+p.planeStride]=real(value.y);
y[to*p.pixelStride+2u*p.planeStride]=real(value.z);
}
}
