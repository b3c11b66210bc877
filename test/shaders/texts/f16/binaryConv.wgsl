enable f16;
struct P{
threads:u32,
h:u32,w:u32,oh:u32,ow:u32,kh:u32,kw:u32,
strideH:u32,strideW:u32,dilationH:u32,dilationW:u32,top:u32,left:u32,
rows:u32,c:u32,words:u32,last:u32,o:u32,tiles:u32,
border:u32,counts:u32,products:i32,
share:f32,
adds:u32,
low:f32,high:f32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f16;
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
struct Weights{w:array<vec4u,2>}
struct Outputs{multiplier:real4,bias:real4}
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>weights:array<Weights>;
@group(0)@binding(3)var<storage,read>outputs:array<Outputs>;
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
let row=t/p.tiles*4u;
var window=windowAt(row);
let window0=window;
window=nextWindow(window);
var total0=0;
var c0_0=vec4u();
var c0_1=vec4u();
let window1=window;
window=nextWindow(window);
var total1=0;
var c1_0=vec4u();
var c1_1=vec4u();
let window2=window;
window=nextWindow(window);
var total2=0;
var c2_0=vec4u();
var c2_1=vec4u();
let window3=window;
window=nextWindow(window);
var total3=0;
var c3_0=vec4u();
var c3_1=vec4u();
var at=tile*p.kh*p.kw*p.words;
for(var ky=0u;ky<p.kh;ky++){
for(var kx=0u;kx<p.kw;kx++){
let pixel0=pixelAt(window0,ky,kx);
let inside0=pixel0!=OUTSIDE;
let x0=select(0u,pixel0*p.words,inside0);
let counts0=select(p.counts,0xffffffffu,inside0);
total0+=select(p.products,i32(p.c),inside0);
let pixel1=pixelAt(window1,ky,kx);
let inside1=pixel1!=OUTSIDE;
let x1=select(0u,pixel1*p.words,inside1);
let counts1=select(p.counts,0xffffffffu,inside1);
total1+=select(p.products,i32(p.c),inside1);
let pixel2=pixelAt(window2,ky,kx);
let inside2=pixel2!=OUTSIDE;
let x2=select(0u,pixel2*p.words,inside2);
let counts2=select(p.counts,0xffffffffu,inside2);
total2+=select(p.products,i32(p.c),inside2);
let pixel3=pixelAt(window3,ky,kx);
let inside3=pixel3!=OUTSIDE;
let x3=select(0u,pixel3*p.words,inside3);
let counts3=select(p.counts,0xffffffffu,inside3);
total3+=select(p.products,i32(p.c),inside3);
for(var k=0u;k<p.words;k++){
let border=p.border&select(0xffffffffu,p.last,k+1u==p.words);
let w0=weights[at].w[0];
let w1=weights[at].w[1];
at++;
let bits0=vec4u(select(border,x[x0+k],inside0));
c0_0+=countOneBits((w0^bits0)&vec4u(counts0));
c0_1+=countOneBits((w1^bits0)&vec4u(counts0));
let bits1=vec4u(select(border,x[x1+k],inside1));
c1_0+=countOneBits((w0^bits1)&vec4u(counts1));
c1_1+=countOneBits((w1^bits1)&vec4u(counts1));
let bits2=vec4u(select(border,x[x2+k],inside2));
c2_0+=countOneBits((w0^bits2)&vec4u(counts2));
c2_1+=countOneBits((w1^bits2)&vec4u(counts2));
let bits3=vec4u(select(border,x[x3+k],inside3));
c3_0+=countOneBits((w0^bits3)&vec4u(counts3));
c3_1+=countOneBits((w1^bits3)&vec4u(counts3));
}
}
}
var sums:array<vec4f,4*2>;
sums[0*2+0]=vec4f(vec4i(total0)-2*vec4i(c0_0));
sums[0*2+1]=vec4f(vec4i(total0)-2*vec4i(c0_1));
sums[1*2+0]=vec4f(vec4i(total1)-2*vec4i(c1_0));
sums[1*2+1]=vec4f(vec4i(total1)-2*vec4i(c1_1));
sums[2*2+0]=vec4f(vec4i(total2)-2*vec4i(c2_0));
sums[2*2+1]=vec4f(vec4i(total2)-2*vec4i(c2_1));
sums[3*2+0]=vec4f(vec4i(total3)-2*vec4i(c3_0));
sums[3*2+1]=vec4f(vec4i(total3)-2*vec4i(c3_1));
let first=tile*(4u*2u);
for(var i=0u;i<4u*2u;i++){
let m=row+i/2u;
let n=first+i%2u*4u;
if(m<p.rows&&n<p.o){
let four=outputs[n/4u];
put(sums[i]*vec4f(four.multiplier)+vec4f(four.bias),m*p.o+n,p.o-n);
}
}
}
