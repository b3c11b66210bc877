struct P{
threads:u32,
channels:u32,
h:u32,
w:u32,
oh:u32,
ow:u32,
kh:u32,
kw:u32,
strideH:u32,
strideW:u32,
dilationH:u32,
dilationW:u32,
top:u32,
left:u32,
above:u32,
before:u32,
rows:u32,
columns:u32,
outside:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f32;
alias real4=vec4<real>;
const OUTSIDE=0xffffffffu;
fn windowAt(row:u32)->vec3u{
let y=row/p.ow;
return vec3u(y/p.oh*p.h,y%p.oh*p.strideH-p.top,row%p.ow*p.strideW-p.left);
}
fn pixelAt(window:vec3u,ky:u32,kx:u32)->u32{
let y=window.y+ky*p.dilationH;
let x=window.z+kx*p.dilationW;
return select(OUTSIDE,(window.x+y)*p.w+x,y<p.h&&x<p.w);
}
fn nextWindow(window:vec3u)->vec3u{
let y=window.y+p.strideH;
let x=window.z+p.strideW;
let ends=x+p.left==p.ow*p.strideW;
let last=ends&&y+p.top==p.oh*p.strideH;
let down=select(select(window.y,y,ends),0u-p.top,last);
return vec3u(window.x+select(0u,p.h,last),down,select(x,0u-p.left,ends));
}
alias Scalar=f32;
alias Stored=real;
alias Value=Scalar;
alias Element=Stored;
fn valueAt(i:u32)->Value{return Value(x[i]);}
fn resultOf(i:u32)->Element{return Element(valueOf(i));}
@group(0)@binding(1)var<storage,read>x:array<Element>;
@group(0)@binding(2)var<storage,read_write>y:array<Element>;
fn valueOf(i:u32)->Value{
let window=windowAt(i/p.channels);
let channel=i%p.channels;
var s=Value(p.outside);
var ky=0u;
var kx=0u;
for(var k=p.kh*p.kw;k>0u;k--){
let pixel=pixelAt(window,ky,kx);
let inside=pixel!=OUTSIDE;
let v=valueAt(pixel*p.channels+channel);
s=select(s,max(s,v),inside);
kx++;
if(kx==p.kw){
kx=0u;
ky++;
}
}
return s;
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
y[i]=resultOf(i);
}
