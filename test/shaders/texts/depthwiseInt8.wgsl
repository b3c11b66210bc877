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
channels:u32,
words:u32,
tiles:u32,
outside:u32,
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
fn requantized(sum:vec4i,channels:Channels,addend:vec4i)->u32{
let within=clamp(sum+channels.bias,channels.lo,channels.hi);
let level=clamp((within*channels.m+addend)>>vec4u(p.shift),vec4i(p.low),vec4i(p.high));
if(p.curve==0u){return packed(level);}
return packed(followed(level,channels.factor));
}
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>weights:array<u32>;
@group(0)@binding(3)var<storage,read>channels:array<Channels>;
@group(0)@binding(4)var<storage,read>residual:array<u32>;
@group(0)@binding(5)var<storage,read>knots:array<i32>;
@group(0)@binding(6)var<storage,read_write>y:array<u32>;
fn levelsAt(pixel:u32,word:u32)->vec4i{
let own=x[pixel*p.words+word];
return unpacked(select(own,p.outside,pixel==OUTSIDE));
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let word=i%p.words;
let tile=i/p.words;
let column=tile%p.tiles*4u;
let row=tile/p.tiles*p.ow+column;
let window=windowAt(row);
var at=word;
var c0=vec4i();
var c1=vec4i();
var c2=vec4i();
var c3=vec4i();
var ky=0u;
var kx=0u;
for(var tap=0u;tap<p.kh*p.kw;tap++){
let w=unpacked(weights[at]);
at+=p.words;
c0+=levelsAt(pixelAt(window+vec3u(0u,0u,0u*p.strideW),ky,kx),word)*w;
c1+=levelsAt(pixelAt(window+vec3u(0u,0u,1u*p.strideW),ky,kx),word)*w;
c2+=levelsAt(pixelAt(window+vec3u(0u,0u,2u*p.strideW),ky,kx),word)*w;
c3+=levelsAt(pixelAt(window+vec3u(0u,0u,3u*p.strideW),ky,kx),word)*w;
kx++;
let isNextRow=kx==p.kw;
ky+=u32(isNextRow);
kx=select(kx,0u,isNextRow);
}
var sums:array<vec4i,4>;
sums[0]=c0;
sums[1]=c1;
sums[2]=c2;
sums[3]=c3;
let own=channels[word];
for(var t=0u;t<min(4u,p.ow-column);t++){
let m=row+t;
let channel=word*4u;
let at=m*p.channels+channel;
var added=vec4i(p.offset);
if(p.residual!=0){
added+=unpacked(residual[at/4u])*p.residual;
}
y[m*p.words+word]=requantized(sums[t],own,added);
}
}
