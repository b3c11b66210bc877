struct P{
threads:u32,
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
rows:u32,
pitch:u32,
share:u32,
depth:u32,
run:u32,
depthAtOnce:u32,
tapsAtOnce:u32,
outside:u32,
tiles:u32,
words:u32,
channels:u32,
rowTiles:u32,
rowWords:u32,
rowChannels:u32,
shift:u32,
offset:i32,
low:i32,
high:i32,
residual:i32,
curve:u32,
half:i32,
origin:i32,
scale:i32,
entryOffset:i32,
zero:i32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
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
struct Channels{
bias:vec4i,
m:vec4i,
lo:vec4i,
hi:vec4i,
factor:vec4i,
}
fn unpacked(word:u32)->vec4i{
return vec4i(vec4u(word)<<vec4u(24u,16u,8u,0u))>>vec4u(24u);
}
fn packed(v:vec4i)->u32{
let bytes=vec4u(v)&vec4u(255u);
return bytes.x|(bytes.y<<8u)|(bytes.z<<16u)|(bytes.w<<24u);
}
fn floatsOf(word:u32)->vec4f{
return vec4f(unpacked(word));
}
const SWISH=2u;
fn times15(a:vec4i,b:vec4i)->vec4i{
return(a*b+16384)>>vec4u(15u);
}
fn entryOf(place:i32)->i32{
let pair=knots[place>>6u];
let part=(place>>2u)&15;
return((16-part)*((pair<<16u)>>16u)+part*(pair>>16u)+8)>>4u;
}
fn followed(place:vec4i,factor:vec4i)->vec4i{
var entry:vec4i;
if(p.curve==SWISH){
let q=place-p.origin;
let ramp=clamp(q+p.half,vec4i(0),vec4i(2*p.half));
entry=clamp(times15(q,p.scale*ramp)+p.entryOffset,vec4i(-32768),vec4i(32767));
}else{
for(var i=0;i<4;i++){entry[i]=entryOf(place[i]);}
}
return clamp(times15(entry,factor)+p.zero,vec4i(-128),vec4i(127));
}
fn shifted(v:vec4i)->vec4i{
return v>>vec4u(p.shift);
}
fn wordOf(levels:vec4i)->u32{
return packed(levels);
}
fn requantized(sum:vec4i,channels:Channels,addend:vec4i)->u32{
let within=clamp(sum+channels.bias,channels.lo,channels.hi);
let level=clamp(shifted(within*channels.m+addend),vec4i(p.low),vec4i(p.high));
if(p.curve==0u){return wordOf(level);}
return wordOf(followed(level,channels.factor));
}
struct Weights{
quads:array<vec4u,2>,
}
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>weights:array<Weights>;
@group(0)@binding(3)var<storage,read>channels:array<Channels>;
@group(0)@binding(4)var<storage,read>residual:array<u32>;
@group(0)@binding(5)var<storage,read>knots:array<i32>;
@group(0)@binding(6)var<storage,read_write>y:array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let tile=i%p.rowTiles;
let row=i/p.rowTiles*4u;
let group=tile/p.tiles;
let word=(tile-group*p.tiles)*2u;
var windows:array<vec3u,4>;
windows[0]=windowAt(row);
for(var r=1;r<4;r++){windows[r]=nextWindow(windows[r-1]);}
let taps=p.kh*p.kw;
let first=tile*taps*p.run;
var sums:array<vec4i,4*2>;
for(var done=0u;done<taps;done+=p.tapsAtOnce){
let last=min(done+p.tapsAtOnce,taps);
for(var start=0u;start<p.depth;start+=p.depthAtOnce){
let end=min(start+p.depthAtOnce,p.depth);
var c0_0=vec4f();
var c0_1=vec4f();
var c1_0=vec4f();
var c1_1=vec4f();
var c2_0=vec4f();
var c2_1=vec4f();
var c3_0=vec4f();
var c3_1=vec4f();
for(var tap=done;tap<last;tap++){
let ky=tap/p.kw;
let kx=tap-ky*p.kw;
let pixel0=pixelAt(windows[0],ky,kx);
let place0=select(pixel0*p.pitch+group*p.share,OUTSIDE,pixel0==OUTSIDE);
let pixel1=pixelAt(windows[1],ky,kx);
let place1=select(pixel1*p.pitch+group*p.share,OUTSIDE,pixel1==OUTSIDE);
let pixel2=pixelAt(windows[2],ky,kx);
let place2=select(pixel2*p.pitch+group*p.share,OUTSIDE,pixel2==OUTSIDE);
let pixel3=pixelAt(windows[3],ky,kx);
let place3=select(pixel3*p.pitch+group*p.share,OUTSIDE,pixel3==OUTSIDE);
let run=first+tap*p.run;
for(var k=start;k<end;k++){
let w0=weights[run+k].quads[0];
let w1=weights[run+k].quads[1];
let m0=mat4x4f(
vec4f(vec4i(w0<<vec4u(24u))>>vec4u(24u)),vec4f(vec4i(w0<<vec4u(16u))>>vec4u(24u)),
vec4f(vec4i(w0<<vec4u(8u))>>vec4u(24u)),vec4f(vec4i(w0)>>vec4u(24u)));
let m1=mat4x4f(
vec4f(vec4i(w1<<vec4u(24u))>>vec4u(24u)),vec4f(vec4i(w1<<vec4u(16u))>>vec4u(24u)),
vec4f(vec4i(w1<<vec4u(8u))>>vec4u(24u)),vec4f(vec4i(w1)>>vec4u(24u)));
let x0=select(x[place0+k],p.outside,place0==OUTSIDE);
let v0=floatsOf(x0);
c0_0+=m0*v0;
c0_1+=m1*v0;
let x1=select(x[place1+k],p.outside,place1==OUTSIDE);
let v1=floatsOf(x1);
c1_0+=m0*v1;
c1_1+=m1*v1;
let x2=select(x[place2+k],p.outside,place2==OUTSIDE);
let v2=floatsOf(x2);
c2_0+=m0*v2;
c2_1+=m1*v2;
let x3=select(x[place3+k],p.outside,place3==OUTSIDE);
let v3=floatsOf(x3);
c3_0+=m0*v3;
c3_1+=m1*v3;
}
}
sums[0*2+0]+=vec4i(c0_0);
sums[0*2+1]+=vec4i(c0_1);
sums[1*2+0]+=vec4i(c1_0);
sums[1*2+1]+=vec4i(c1_1);
sums[2*2+0]+=vec4i(c2_0);
sums[2*2+1]+=vec4i(c2_1);
sums[3*2+0]+=vec4i(c3_0);
sums[3*2+1]+=vec4i(c3_1);
}
}
for(var t=0u;t<min(2u,p.words-word);t++){
let own=channels[group*p.words+word+t];
for(var r=0u;r<min(4u,p.rows-row);r++){
let m=row+r;
let sum=sums[r*2u+t];
let channel=(word+t)*4u;
let at=m*p.rowChannels+group*p.channels+channel;
var added=vec4i(p.offset);
if(p.residual!=0){
added+=unpacked(residual[at/4u])*p.residual;
}
y[m*p.rowWords+group*p.words+word+t]=requantized(sum,own,added);
}
}
}
