struct P{
threads:u32,
h:u32,w:u32,oh:u32,ow:u32,kh:u32,kw:u32,
strideH:u32,strideW:u32,dilationH:u32,dilationW:u32,top:u32,left:u32,
rows:u32,c:u32,depth:u32,o:u32,n:u32,tiles:u32,groupTiles:u32,
adds:u32,
low:f32,high:f32,
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
struct Weights{
w:array<mat4x4<real>,2>,
}
@group(0)@binding(1)var<storage,read>x:array<real4>;
@group(0)@binding(2)var<storage,read>weights:array<Weights>;
@group(0)@binding(3)var<storage,read>bias:array<real4>;
fn activated(value:vec4f)->vec4f{
var v=select(value,vec4f(p.low),value<vec4f(p.low));
v=select(v,vec4f(p.high),v>vec4f(p.high));
return v;
}
@group(0)@binding(4)var<storage,read>residual:array<real4>;
@group(0)@binding(5)var<storage,read_write>y:array<real4>;
fn put(sum:vec4f,at:u32,count:u32){
var v=sum;
if(p.adds!=0u){v+=vec4f(residual[at/4u]);}
y[at/4u]=real4(activated(v));
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let t=thread(id);
if(t>=p.threads){return;}
let tile=t%p.tiles;
let group=tile/p.groupTiles;
let row=t/p.tiles*4u;
let c=p.c/4u;
let depth=p.depth/4u;
let bias0=vec4f(bias[tile*2u+0u]);
let bias1=vec4f(bias[tile*2u+1u]);
var window=windowAt(row);
let window0=window;
window=nextWindow(window);
var c0_0=bias0;
var c0_1=bias1;
let window1=window;
window=nextWindow(window);
var c1_0=bias0;
var c1_1=bias1;
let window2=window;
window=nextWindow(window);
var c2_0=bias0;
var c2_1=bias1;
let window3=window;
window=nextWindow(window);
var c3_0=bias0;
var c3_1=bias1;
var at=tile*p.kh*p.kw*depth;
for(var ky=0u;ky<p.kh;ky++){
for(var kx=0u;kx<p.kw;kx++){
let pixel0=pixelAt(window0,ky,kx);
let inside0=pixel0!=OUTSIDE;
let x0=select(0u,pixel0*c+group*depth,inside0);
let pixel1=pixelAt(window1,ky,kx);
let inside1=pixel1!=OUTSIDE;
let x1=select(0u,pixel1*c+group*depth,inside1);
let pixel2=pixelAt(window2,ky,kx);
let inside2=pixel2!=OUTSIDE;
let x2=select(0u,pixel2*c+group*depth,inside2);
let pixel3=pixelAt(window3,ky,kx);
let inside3=pixel3!=OUTSIDE;
let x3=select(0u,pixel3*c+group*depth,inside3);
for(var k=0u;k<depth;k++){
let w0=mat4x4f(weights[at].w[0]);
let w1=mat4x4f(weights[at].w[1]);
at++;
let v0=select(vec4f(),vec4f(x[x0+k]),inside0);
c0_0+=w0*v0;
c0_1+=w1*v0;
let v1=select(vec4f(),vec4f(x[x1+k]),inside1);
c1_0+=w0*v1;
c1_1+=w1*v1;
let v2=select(vec4f(),vec4f(x[x2+k]),inside2);
c2_0+=w0*v2;
c2_1+=w1*v2;
let v3=select(vec4f(),vec4f(x[x3+k]),inside3);
c3_0+=w0*v3;
c3_1+=w1*v3;
}
}
}
var sums:array<vec4f,4*2>;
sums[0*2+0]=c0_0;
sums[0*2+1]=c0_1;
sums[1*2+0]=c1_0;
sums[1*2+1]=c1_1;
sums[2*2+0]=c2_0;
sums[2*2+1]=c2_1;
sums[3*2+0]=c3_0;
sums[3*2+1]=c3_1;
let first=tile%p.groupTiles*(4u*2u);
for(var i=0u;i<4u*2u;i++){
let m=row+i/2u;
let n=first+i%2u*4u;
if(m<p.rows&&n<p.n){put(sums[i],m*p.o+group*p.n+n,p.n-n);}
}
}
