enable f16;
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
least:f32,
most:f32,
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
fn exp4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-104.0),vec4f(89.0));
let n=round(x*1.44269504);
let r=(x-n*0.693359375)+n*2.12194440e-4;
var y=0.001381455920636654*r+0.008368735201656818;
y=y*r+0.04166838899254799;
y=y*r+0.1666652113199234;
y=y*r+0.4999999403953552;
y=y*(r*r)+r+1.0;
let i=vec4i(n);
let half=i>>vec4u(1u);
return y*bitcast<vec4f>((half+127)<<vec4u(23u))*bitcast<vec4f>((i-half+127)<<vec4u(23u));
}
fn log4(x:vec4f)->vec4f{
let small=x<vec4f(1.17549435e-38);
let scaled=select(x,x*8388608.0,small);
let shift=(bitcast<vec4i>(scaled)-0x3f3504f3)>>vec4u(23u);
let f=bitcast<vec4f>(bitcast<vec4i>(scaled)-(shift<<vec4u(23u)))-1.0;
let e=vec4f(shift+select(vec4i(0),vec4i(-23),small));
let square=f*f;
var y=-0.07634496688842773*f+0.1276157647371292;
y=y*f-0.13160182535648346;
y=y*f+0.14201757311820984;
y=y*f-0.16623356938362122;
y=y*f+0.20001226663589478;
y=y*f-0.2500081956386566;
y=y*f+0.3333333134651184;
y=y*f*square-e*2.12194440e-4-square*0.5;
y=e*0.693359375+(f+y);
return select(log(x),y,(x>vec4f(0.0))&(x<=vec4f(3.40282e38)));
}
fn log1p4(x:vec4f)->vec4f{
let u=x+1.0;
return select(x,log4(u)*(x/(u-1.0)),u>vec4f(1.0));
}
fn tanh4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-9.02),vec4f(9.02));
let z=x*x;
var n=-1.2203366789309555e-11*z+3.058487507701102e-8;
n=n*z+2.8007390938000754e-5;
n=n*z+0.003868324216455221;
n=n*z+0.13679912686347961;
n=n*z+1.0;
var d=1.2873620107711758e-6*z+0.00039386251592077315;
d=d*z+0.02724582515656948;
d=d*z+0.470132440328598;
d=d*z+1.0;
return clamp(x*n/d,vec4f(-1.0),vec4f(1.0));
}
fn erf4(value:vec4f)->vec4f{
let x=clamp(value,vec4f(-3.95),vec4f(3.95));
let z=x*x;
var n=-1.2967783402450201e-8*z+4.640583483705996e-6;
n=n*z+0.0003779417311307043;
n=n*z+0.003843357553705573;
n=n*z+0.054274801164865494;
n=n*z+0.18516835570335388;
n=n*z+1.128379225730896;
var d=6.26939072390087e-5*z+0.0013040663907304406;
d=d*z+0.0154437106102705;
d=d*z+0.11391082406044006;
d=d*z+0.4974345862865448;
d=d*z+1.0;
return select(x*n/d,sign(x),abs(x)>=vec4f(3.84));
}
fn expm14(x:vec4f)->vec4f{
let t=tanh4(x*0.5);
return 2.0*t/(1.0-t);
}
fn sine4(x:vec4f,quarters:i32)->vec4f{
let turns=round(x*0.636619772);
let r=((x-turns*1.5703125)-turns*4.837512969970703e-4)-turns*7.549789954891886e-8;
let z=r*r;
let s=r+r*z*(-1.6666654611e-1+z*(8.3321608736e-3-z*1.9515295891e-4));
let c=1.0-0.5*z+z*z*(4.166664568298827e-2+z*(-1.388731625493765e-3+z*2.443315711809948e-5));
let q=vec4i(turns)+quarters;
let y=select(s,c,(q&vec4i(1))==vec4i(1));
return select(y,-y,(q&vec4i(2))==vec4i(2));
}
fn power4(x:vec4f,a:vec4f)->vec4f{
let base=abs(x);
let bits=bitcast<vec4i>(base);
let e=(bits-0x3f3504f3)>>vec4u(23u);
let m=bitcast<vec4f>(bits-(e<<vec4u(23u)));
let s=(m-1.0)/(m+1.0);
let high=bitcast<vec4f>(bitcast<vec4u>(s)&vec4u(0xfffff000u));
let low=((m-1.0)-high*m-high)/(m+1.0);
let z=s*s;
let tail=s*z*(0.961796694+z*(0.577078016+z*(0.412198583+z*0.4342)));
let h=high*2.885742188;
let l=low*2.885390082+high*-3.5210600e-4+tail;
let ah=bitcast<vec4f>(bitcast<vec4u>(a)&vec4u(0xfffff000u));
let al=a-ah;
let big=ah*vec4f(e);
let middle=ah*h;
let n=round(clamp(big+middle,vec4f(-300.0),vec4f(300.0)));
let rest=clamp((big-n)+middle+(al*(vec4f(e)+h)+a*l),vec4f(-2.0),vec4f(2.0));
let i=vec4i(n);
let y=exp4(rest*0.693147181)*bitcast<vec4f>((clamp(i>>vec4u(1u),vec4i(-126),vec4i(127))+127)<<vec4u(23u))
*bitcast<vec4f>((clamp(i-(i>>vec4u(1u)),vec4i(-126),vec4i(127))+127)<<vec4u(23u));
let whole=floor(a)==a;
let odd=whole&(fract(a*0.5)==vec4f(0.5));
let signed=select(y,-y,(x<vec4f(0.0))&odd);
let special=((x<vec4f(0.0))&!whole)|(x==vec4f(0.0));
return select(select(signed,pow(x,a),special),vec4f(1.0),a==vec4f(0.0));
}
fn relu(x:vec4f,a:f32,b:f32)->vec4f{return max(x,vec4f(0.0));}
fn clip(x:vec4f,a:f32,b:f32)->vec4f{return min(max(x,vec4f(a)),vec4f(b));}
fn leakyRelu(x:vec4f,a:f32,b:f32)->vec4f{return select(x,x*a,x<vec4f(0.0));}
fn sigmoid(x:vec4f,a:f32,b:f32)->vec4f{return 1.0/(1.0+exp4(-x));}
fn hardSigmoid(x:vec4f,a:f32,b:f32)->vec4f{return clamp(x*a+b,vec4f(0.0),vec4f(1.0));}
fn hardSwish(x:vec4f,a:f32,b:f32)->vec4f{return x*clamp(x*0.16666667+0.5,vec4f(0.0),vec4f(1.0));}
fn silu(x:vec4f,a:f32,b:f32)->vec4f{return x/(1.0+exp4(-x));}
fn tanhOf(x:vec4f,a:f32,b:f32)->vec4f{return tanh4(x);}
fn expOf(x:vec4f,a:f32,b:f32)->vec4f{return exp4(x);}
fn logOf(x:vec4f,a:f32,b:f32)->vec4f{return log4(x);}
fn sqrtOf(x:vec4f,a:f32,b:f32)->vec4f{return sqrt(x);}
fn absOf(x:vec4f,a:f32,b:f32)->vec4f{return abs(x);}
fn neg(x:vec4f,a:f32,b:f32)->vec4f{return-x;}
fn reciprocal(x:vec4f,a:f32,b:f32)->vec4f{return 1.0/x;}
fn erf(x:vec4f,a:f32,b:f32)->vec4f{return erf4(x);}
fn gelu(x:vec4f,a:f32,b:f32)->vec4f{return 0.5*x*(1.0+erf4(x*0.70710678));}
fn geluTanh(x:vec4f,a:f32,b:f32)->vec4f{return x/(1.0+exp4((x*x*x*0.044715+x)*-1.5957691));}
fn softplus(x:vec4f,a:f32,b:f32)->vec4f{return max(x,vec4f(0.0))+log1p4(exp4(-abs(x)));}
fn softsign(x:vec4f,a:f32,b:f32)->vec4f{return x/(1.0+abs(x));}
fn elu(x:vec4f,a:f32,b:f32)->vec4f{return select(a*expm14(x),x,x>vec4f(0.0));}
fn mish(x:vec4f,a:f32,b:f32)->vec4f{
let e=exp4(min(x,vec4f(20.0)));
let t=e*(e+2.0);
return x*(t/(t+2.0));
}
fn floorOf(x:vec4f,a:f32,b:f32)->vec4f{return floor(x);}
fn ceilOf(x:vec4f,a:f32,b:f32)->vec4f{return ceil(x);}
fn roundOf(x:vec4f,a:f32,b:f32)->vec4f{return round(x);}
fn signOf(x:vec4f,a:f32,b:f32)->vec4f{return sign(x);}
fn square(x:vec4f,a:f32,b:f32)->vec4f{return x*x;}
fn power(x:vec4f,a:f32,b:f32)->vec4f{return power4(x,vec4f(a));}
fn affine(x:vec4f,a:f32,b:f32)->vec4f{return x*a+b;}
fn sinOf(x:vec4f,a:f32,b:f32)->vec4f{return sine4(x,0);}
fn cosOf(x:vec4f,a:f32,b:f32)->vec4f{return sine4(x,1);}
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
fn activated(sum:vec4i,channels:Channels)->vec4f{
var v=clamp(vec4f(sum+channels.bias)*bitcast<vec4f>(channels.m),vec4f(p.least),vec4f(p.most));
return v;
}
struct Weights{
quads:array<vec4u,2>,
}
@group(0)@binding(1)var<storage,read>x:array<u32>;
@group(0)@binding(2)var<storage,read>weights:array<Weights>;
@group(0)@binding(3)var<storage,read>channels:array<Channels>;
alias real=f16;
alias real4=vec4<real>;
@group(0)@binding(4)var<storage,read_write>y:array<real>;
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
let v=activated(sum,own);
for(var j=0u;j<min(p.channels-channel,4u);j++){y[at+j]=real(v[j]);}
}
}
}
