(** * What a unit passes back, and what it adds to the sums of early pixels

    - [cell_ok]: a cell holds a number for each class, up to what its weights are off by;
      [pass_all_ok]: a unit adds its core times its dual vector to the cells of what it reads;
    - [earlies]: the sums by pixel are at least given real numbers; [book_early_ok]: and stay so.

    Rests on PairSums.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Statement Totals network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors
  fast.Backward fast.Modular
  fast.PairSums.
Import ListNotations.
Open Scope R_scope.

Lemma cell_add m i v j : cell_at (PositiveMap.add i v m) j = if Pos.eqb i j then v else cell_at m j.
Proof.
  unfold cell_at. destruct (Pos.eqb_spec i j) as [->|N]; [now rewrite PositiveMap.gss|].
  rewrite PositiveMap.gso; [reflexivity|congruence].
Qed.

Lemma early_add m i v j : early_at (PositiveMap.add i v m) j = if Pos.eqb i j then v
  else early_at m j.
Proof.
  unfold early_at. destruct (Pos.eqb_spec i j) as [->|N]; [now rewrite PositiveMap.gss|].
  rewrite PositiveMap.gso; [reflexivity|congruence].
Qed.

Section Pass.
Variables (logits : list positive) (scale : positive -> Z).
Notation N := (length logits).

(** The real number that a dual [z] of a unit of scale [s] stands for. *)
Definition scaled_dual (s : Z) (z : Z) : R := IZR z * p2 (s - 36).

(** [P] is passed back to unit [j], by class. *)
Definition cell_ok (j : nat) (P : nat -> R) (x : cell) : Prop :=
  (to_Z (c_mass x) <= 2 ^ 61)%Z /\ (to_Z (c_off x) <= 2 ^ 61)%Z /\ exists zh zl : nat ->
  Z, forall c, (c < N)%nat ->
  rep (nth c (c_high x) 0%uint63) (zh c) /\ rep (nth c (c_low x) 0%uint63) (zl c) /\
  (Z.abs (zh c) <= to_Z (c_mass x))%Z /\ (Z.abs (zl c) <= to_Z (c_mass x))%Z /\
  Rabs (P c * p2 (36 - scale (key j)) - IZR (zh c * 65536 + zl c) / 2 ^ 32) <=
  IZR (to_Z (c_off x)) / 2 ^ 32.

(** The cells of all units before [k] hold [P], by unit and class. *)
Definition cells_ok (k : nat) (P : nat -> nat -> R) (m : PositiveMap.t cell) : Prop :=
  forall j, (j < k)%nat -> cell_ok j (P j) (cell_at m (key j)).

Lemma cell_ext j P P' x : (forall c, (c < N)%nat -> P c = P' c) -> cell_ok j P x -> cell_ok j P' x.
Proof.
  intros E (M & O & zh & zl & H). split; [exact M|]. split; [exact O|]. exists zh, zl. intros c Hc.
  rewrite <- (E c Hc). now apply H.
Qed.

Lemma cells_ext k P P' m : (forall j c, (c < N)%nat -> P j c = P' j c) -> cells_ok k P m ->
  cells_ok k P' m.
Proof. intros E H j Hj. apply (cell_ext j (P j)); [intros; now apply E|now apply H]. Qed.

Section Unit.
Variables (k : nat) (s : Z) (a : list int) (z : nat -> Z).
Hypothesis Ha : holds N a z.
Notation A := (fun c => scaled_dual s (z c)).

Lemma pass_back_ok w i P m m' : cells_ok k P m ->
  pass_back scale (key k) s a (most_of a) w i m = Some m' ->
  (num i < k)%nat /\ cells_ok k (fun j c => P j c + coef [(w, i)] j * A c) m'.
Proof.
  intros Hm. unfold pass_back. cbv zeta. set (t := Z.shiftr w (68 - s + scale i)).
  destruct (Pos.ltb_spec i (key k)) as [L|]; [|discriminate].
  destruct (Z.ltb_spec (Z.abs t) 0x1000000000000000) as [B|]; [|discriminate].
  cbn [andb]. apply num_lt in L. rewrite num_key in L. set (x := of_Z t). set (h := down 16 x).
  set (l := (x - h * 65536)%uint63).
  destruct (charge (c_mass _) _ _) as [u|] eqn:U; [|discriminate].
  destruct (charge (c_off _) _ _) as [e|] eqn:E; [|discriminate].
  intros [= <-]. split; [exact L|]. intros j Hj. rewrite cell_add. rewrite num_eqb, num_key.
  destruct (Nat.eqb_spec (num i) j) as [<-|D].
  2: { apply (cell_ext j (P j)); [|now apply Hm]. intros c _. unfold coef, Rules.weight. simpl.
       destruct (Nat.eqb_spec (num i) j); [easy|]. lra. }
  specialize (Hm (num i) Hj). rewrite key_num in Hm. destruct Hm as (_ & _ & zh & zl & H).
  destruct (charge_ok _ _ _ _ U) as [U1 U2]. destruct (charge_ok _ _ _ _ E) as [E1 E2].
  destruct (most_ok _ _ _ Ha) as [M1 M2]. set (mo := to_Z (most_of a)) in *.
  set (th := (t / 65536)%Z). set (tl := (t - th * 65536)%Z).
  assert (Rx : rep x t) by apply rep_of_Z.
  assert (Rh : rep h th) by (apply down_ok; [exact Rx|lia]).
  assert (Rl : rep l tl)
    by (apply rep_minus; [exact Rx|apply rep_times; [exact Rh|exact (rep_self 65536)]]).
  assert (T1 := Z.mul_div_le t 65536 ltac:(lia)).
  assert (T2 := Z.mul_succ_div_gt t 65536 ltac:(lia)). fold th in T1, T2.
  assert (Tl : (0 <= tl < 65536)%Z) by (unfold tl; lia). assert (Th : (Z.abs th < 2 ^ 61)%Z) by lia.
  rewrite larger_ok, (absolute_ok h th Rh), (rep_small l tl Rl) in U1 by lia.
  change (to_Z 1) with 1%Z in E1. set (c0 := cell_at m i) in *.
  assert (Pm := to_Z_bounded (c_mass c0)). assert (Pe := to_Z_bounded (c_off c0)). unfold cell_ok.
  cbn [c_mass c_off c_high c_low]. split; [exact U2|]. split; [exact E2|].
  exists (fun c => zh c + th * z c)%Z, (fun c => zl c + tl * z c)%Z. intros c Hc.
  destruct (H c Hc) as (H1 & H2 & H3 & H4 & H5). destruct Ha as [_ Ha'].
  destruct (Ha' c Hc) as [Rz Bz]. specialize (M2 c Hc). rewrite !along_ok.
  split; [now apply rep_plus; [|apply rep_times]|].
  split; [now apply rep_plus; [|apply rep_times]|].
  assert (Q1 : (Z.abs (th * z c) <= Z.max (Z.abs th) tl * mo)%Z)
    by (rewrite Z.abs_mul; apply Z.mul_le_mono_nonneg; lia).
  assert (Q2 : (Z.abs (tl * z c) <= Z.max (Z.abs th) tl * mo)%Z)
    by (rewrite Z.abs_mul; apply Z.mul_le_mono_nonneg; lia).
  split; [lia|]. split; [lia|]. rewrite key_num in *.
  set (sj := scale i) in *. assert (F := floor_ok w (68 - s + sj)). fold t in F.
  assert (C : coef [(w, i)] (num i) = real w)
    by (unfold coef, Rules.weight; simpl; rewrite Nat.eqb_refl; lra).
  rewrite C. unfold scaled_dual. set (y := IZR w * p2 (- (68 - s + sj))) in *.
  assert (Y : real w * (IZR (z c) * p2 (s - 36)) * p2 (36 - sj) = y * IZR (z c) / 2 ^ 32).
  { unfold real, y.
    transitivity (IZR w * IZR (z c) * (/ 2 ^ 100 * (p2 (s - 36) * p2 (36 - sj)))); [field|].
    rewrite <- p2_plus. change (/ 2 ^ 100) with (p2 (-100)). rewrite <- p2_plus.
    replace (-100 + (s - 36 + (36 - sj)))%Z with (- (68 - s + sj) + -32)%Z by lia. rewrite p2_plus.
    change (p2 (-32)) with (/ 2 ^ 32). field. }
  replace ((P (num i) c + real w * (IZR (z c) * p2 (s - 36))) * p2 (36 - sj) -
    IZR ((zh c + th * z c) * 65536 + (zl c + tl * z c)) / 2 ^ 32) with
    ((P (num i) c * p2 (36 - sj) - IZR (zh c * 65536 + zl c) / 2 ^ 32) +
      (y - IZR t) * IZR (z c) / 2 ^ 32).
  2: { rewrite Rmult_plus_distr_r, Y. replace ((zh c + th * z c) * 65536 + (zl c + tl * z c))%Z with
         ((zh c * 65536 + zl c) + t * z c)%Z by (unfold tl; ring).
       rewrite (plus_IZR (zh c * 65536 + zl c)), (mult_IZR t). field. }
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite E1, Z.mul_1_l, (plus_IZR (to_Z (c_off c0))).
  apply Rle_trans with (IZR (to_Z (c_off c0)) / 2 ^ 32 + IZR mo / 2 ^ 32); [|lra].
  apply Rplus_le_compat; [exact H5|]. unfold Rdiv.
  rewrite !Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)) by lra. apply Rmult_le_compat_r; [lra|].
  rewrite <- abs_IZR. apply IZR_le in M2. assert (Rabs (y - IZR t) <= 1) by (apply Rabs_le; lra).
  apply Rle_trans with (1 * IZR mo); [|lra].
  apply Rmult_le_compat; try assumption; [apply Rabs_pos|apply IZR_le; lia].
Qed.

Lemma pass_all_ok ws P m m' : cells_ok k P m ->
  pass_all scale (key k) s a (most_of a) ws m = Some m' ->
  (forall x, In x ws -> (num (snd x) < k)%nat) /\
  cells_ok k (fun j c => P j c + coef ws j * A c) m'.
Proof.
  revert P m. induction ws as [|[w i] ws IH]; intros P m Hm; cbn [pass_all fst snd].
  - intros [= <-]. split; [easy|]. apply (cells_ext k P); [|exact Hm]. intros.
    unfold coef, Rules.weight. simpl. lra.
  - destruct (pass_back _ _ _ _ _ _ _ _) as [m1|] eqn:E; [|discriminate]. intros E'.
    destruct (pass_back_ok _ _ _ _ _ Hm E) as [L H1].
    destruct (IH _ _ H1 E') as [I H2]. split; [intros x [<-|Hx]; [exact L|now apply I]|].
    revert H2. apply cells_ext. intros j c _. change ((w, i) :: ws) with ([(w, i)] ++ ws).
    rewrite coef_app. lra.
Qed.

(** The sums booked for each pixel are at least [E], by pixel and pair of classes. *)
Definition earlies (E : nat -> nat -> nat -> R) (m : PositiveMap.t (list (list int) * int)) :
  Prop :=
  forall q, table N (fst (early_at m (key q))) (snd (early_at m (key q))) (E q).

Lemma table_le t u b b' : (forall c j, (c < j)%nat -> (j < N)%nat -> b' c j <= b c j) ->
  table N t u b -> table N t u b'.
Proof.
  intros H T c j Hc Hj. destruct (T c j Hc Hj). split; [assumption|].
  apply Rle_trans with (2 := H1). now apply H.
Qed.

Lemma book_early_ok zs E m m' : earlies E m -> book_early s a (spread a) zs m = Some m' ->
  earlies (fun q c j => E q c j + Rabs (A c - A j) * coef zs q) m'.
Proof.
  revert E m. induction zs as [|[w p] zs IH]; intros E m Hm; cbn [book_early].
  - intros [= <-] q. apply (table_le _ _ (E q)); [|apply Hm]. intros. unfold coef, Rules.weight.
    simpl. lra.
  - destruct (upward w (74 - s)) as [f|] eqn:F; [|discriminate].
    destruct (early_at m p) as [t u] eqn:T.
    destruct (charge u (spread a) f) as [u'|] eqn:U; [|discriminate]. intros E'.
    assert (H1 : earlies (fun q c j => E q c j + Rabs (A c - A j) * coef [(w, p)] q)
      (PositiveMap.add p (weighed f a t, u') m)).
    { intros q. rewrite early_add, num_eqb, num_key. destruct (Nat.eqb_spec (num p) q) as [<-|D].
      - assert (Hp := Hm (num p)). rewrite key_num, T in Hp. cbn [fst snd] in Hp |- *.
        apply (table_le _ _ _ _ ) with (2 := weighed_ok _ _ _ _ _ _ _ _ _ _ Ha Hp F U).
        intros c j _ _. unfold coef, Rules.weight. simpl. rewrite Nat.eqb_refl. unfold scaled_dual.
        lra.
      - apply (table_le _ _ (E q)); [|apply Hm]. intros. unfold coef, Rules.weight. simpl.
        destruct (Nat.eqb_spec (num p) q); [easy|]. lra. }
    assert (H2 := IH _ _ H1 E'). intros q. specialize (H2 q). revert H2. apply table_le.
    intros c j _ _. change ((w, p) :: zs) with ([(w, p)] ++ zs). rewrite coef_app. lra.
Qed.
End Unit.
End Pass.
