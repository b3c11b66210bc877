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
step:u32,
stride:u32,
run:u32,
columns:u32,
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
@group(0)@binding(1)var<storage,read>x:array<u32>;
alias Levels=vec4i;
@group(0)@binding(2)var<storage,read>weights:array<u32>;
@group(0)@binding(3)var<storage,read>channels:array<Channels>;
@group(0)@binding(4)var<storage,read>residual:array<u32>;
@group(0)@binding(5)var<storage,read>knots:array<i32>;
@group(0)@binding(6)var<storage,read_write>y:array<u32>;
fn weightsAt(at:u32)->Levels{
return unpacked(weights[at]);
}
fn levelsAt(pixel:u32,word:u32)->Levels{
let own=x[pixel*p.words+word];
let levels=select(own,p.outside,pixel==OUTSIDE);
return unpacked(levels);
}
fn put(sum:Levels,pixel:u32,word:u32,own:Channels){
let at=pixel*p.channels+word*4u;
var added=vec4i(p.offset);
if(p.residual!=0){
added+=unpacked(residual[at/4u])*p.residual;
}
y[pixel*p.words+word]=requantized(vec4i(sum),own,added);
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let t=thread(id);
if(t>=p.threads){return;}
let word=t%p.words;
let ox=t/p.words%p.ow;
let column=t/p.words/p.ow;
let part=column%p.columns;
let image=column/p.columns;
var oy=part/p.step*p.run*p.step+part%p.step;
var pixel=(image*p.oh+oy)*p.ow+ox;
let own=channels[word];
var row=oy*p.strideH-p.top;
let left=ox*p.strideW-p.left;
let first=image*p.h;
let column0=left+0u*p.dilationW;
let column1=left+1u*p.dilationW;
let column2=left+2u*p.dilationW;
var s0=Levels();
let w0_0=weightsAt((word*3u+0u)*3u+0u);
let w0_1=weightsAt((word*3u+0u)*3u+1u);
let w0_2=weightsAt((word*3u+0u)*3u+2u);
var s1=Levels();
let w1_0=weightsAt((word*3u+1u)*3u+0u);
let w1_1=weightsAt((word*3u+1u)*3u+1u);
let w1_2=weightsAt((word*3u+1u)*3u+2u);
var s2=Levels();
let w2_0=weightsAt((word*3u+2u)*3u+0u);
let w2_1=weightsAt((word*3u+2u)*3u+1u);
let w2_2=weightsAt((word*3u+2u)*3u+2u);
var next=3u-1u;
let rows=(p.run-1u)*p.stride+3u;
for(var i=0u;i<rows;i++){
let start=(first+row)*p.w;
let v0=levelsAt(select(OUTSIDE,start+column0,row<p.h&&column0<p.w),word);
let v1=levelsAt(select(OUTSIDE,start+column1,row<p.h&&column1<p.w),word);
let v2=levelsAt(select(OUTSIDE,start+column2,row<p.h&&column2<p.w),word);
var sum=Levels();
var before=Levels();
sum=before;
before=s0;
sum+=w0_0*v0;
sum+=w0_1*v1;
sum+=w0_2*v2;
s0=sum;
sum=before;
before=s1;
sum+=w1_0*v0;
sum+=w1_1*v1;
sum+=w1_2*v2;
s1=sum;
sum=before;
before=s2;
sum+=w2_0*v0;
sum+=w2_1*v1;
sum+=w2_2*v2;
s2=sum;
row+=p.dilationH;
if(i==next){
if(oy<p.oh){put(sum,pixel,word,own);}
next+=p.stride;
oy+=p.step;
pixel+=p.step*p.ow;
}
}
}
