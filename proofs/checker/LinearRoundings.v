(** * The checker's roundings of a sum

    - [linear_noise]: what [rounding_of] computes for a linear unit satisfies [noise] of Units.v.

    Rests on SumRoundings.v and Units.v. Stands behind [Layer.rounding] and [underflow]; for all
    units in Roundings.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Folds binary32.Additions
  binary32.Layers.
From Lastbit Require Import operations.Units network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation
  checker.SumRoundings.
Notation real := Numbers.real.
Import ListNotations.
Open Scope R_scope.

(** ** One term *)

Section Over.
Variables (over : option Z) (weights : Z).
Hypothesis fit : over_fits over weights = true.

Definition factors (w : Z) : list factor := Times (real w) :: divisor over.
Definition most_cost : nat := match over with None => 1 | Some _ => 3 end.
Definition most_factors : nat := match over with None => 1 | Some _ => 2 end.

Lemma over_range c : over = Some c -> 1 <= Rabs (real c) <= 2 ^ 20 /\ c <> 0%Z.
Proof.
  intros ->. unfold over_fits in fit. rewrite !andb_true_iff, !Z.leb_le in fit.
  destruct fit as [[F1 F2] _].
  split; [|unfold one in F1; lia]. apply real_le in F1, F2. rewrite real_abs, real_one in *.
  unfold limit in F2.
  rewrite real_scale, real_one in F2. lra.
Qed.

Lemma factors_constant w z : (0 <= z)%Z ->
  Rabs (constant (factors w)) * real z <= real2 (quotient_of over (Z.abs w * z)).
Proof.
  intros Hz. assert (P : Rabs (real w) * real z = real2 (Z.abs w * z)).
  { rewrite <- real_abs. unfold real, real2. rewrite mult_IZR. lra. }
  assert (Rg := over_range). unfold factors, constant.
  destruct over as [c|]; cbn [divisor map fold_right number quotient_of].
  - destruct (Rg c eq_refl) as [R N]. rewrite Rmult_1_r, Rabs_mult, Rabs_inv.
    replace (Rabs (real w) * / Rabs (real c) * real z)
      with (Rabs (real w) * real z / Rabs (real c)) by (field; lra).
    rewrite P. unfold real2 at 2. assert (Pc : (0 < Z.abs c)%Z) by lia.
    assert (D := ceil_div_real (Z.abs w * z * one) (Z.abs c) Pc). rewrite mult_IZR, one_is in D.
    assert (Q : real2 (Z.abs w * z) / Rabs (real c) =
      IZR (Z.abs w * z) * 2 ^ 100 / IZR (Z.abs c) / 2 ^ 100 / 2 ^ 100).
    { rewrite <- real_abs. unfold real2, real. apply IZR_lt in Pc. field. lra. }
    rewrite Q. lra.
  - rewrite Rmult_1_r. lra.
Qed.

Lemma factors_cost w : INR (cost (factors w)) <= IZR (cost_of over w) /\
  (cost (factors w) <= most_cost)%nat.
Proof.
  assert (H : (cost_of over w = Z.of_nat ((if power_of_2 w then 0 else 1) + match over with None =>
    0 | Some c => if power_of_2 c then 0 else 2 end))%Z).
  { unfold cost_of, cost_over. destruct over as [c|]; [destruct (power_of_2 c)|];
      destruct (power_of_2 w); reflexivity. }
  assert (L : (cost (factors w) <= (if power_of_2 w then 0 else 1) + match over with None =>
    0 | Some c => if power_of_2 c then 0 else 2 end)%nat).
  { unfold factors, cost. cbn [map list_sum fold_right]. apply Nat.add_le_mono.
    - cbn [Factors.cost_of]. destruct (power_of_2 w) eqn:P; [rewrite (power_of_2_scales _ P); lia|].
      destruct (scales _); lia.
    - destruct over as [c|]; [|apply le_n]. cbn [divisor map list_sum fold_right Factors.cost_of].
      destruct (power_of_2 c) eqn:P; [rewrite (power_of_2_scales _ P); lia|].
      destruct (scales _); lia. }
  split.
  - rewrite H, <- INR_IZR_INZ. now apply le_INR.
  - apply Nat.le_trans with (1 := L). unfold most_cost.
    destruct over as [c|]; [destruct (power_of_2 c)|]; destruct (power_of_2 w); lia.
Qed.

Lemma factors_room w : room (factors w) <= 1 + Rabs (real w).
Proof.
  assert (P := Rabs_pos (real w)).
  assert (M : Rmax 1 (Rabs (real w)) <= 1 + Rabs (real w)) by (apply Rmax_lub; lra).
  assert (Rg := over_range). unfold factors, room.
  destruct over as [c|]; cbn [divisor map fold_right number]; [|lra].
  destruct (Rg c eq_refl) as [R N]. rewrite Rabs_inv, (Rmax_left 1 (/ Rabs (real c))); [lra|].
  apply Rle_trans with (/ 1); [apply Rinv_le_contravar; lra|lra].
Qed.

Lemma factors_limited w x : Rabs (real w) <= 2 ^ 45 ->
  limited most_cost most_factors (factors w, x).
Proof.
  intros Hw. split; [|split; [apply factors_cost|unfold factors, most_factors; cbn [fst];
    destruct over; cbn; lia]].
  cbn [fst]. assert (Rm := factors_room w). assert (Rg := over_range). unfold factors in *.
  destruct over as [c|].
  - right. right. destruct (Rg c eq_refl) as [R N]. unfold inside. cbn [divisor] in *.
    split; [|split; [|split]].
    + intros [A|[A|[]]]; [discriminate|]. injection A as A. rewrite A, Rabs_R0 in R. lra.
    + unfold least. cbn [map fold_right]. rewrite Rmult_1_r. unfold least_of. cbn [number].
      assert (I : / 2 ^ 20 <= Rabs (/ real c)).
      { rewrite Rabs_inv. apply Rinv_le_contravar; lra. }
      assert (A : / 2 ^ 100 <= (if Req_EM_T (real w) 0 then 1 else Rmin 1 (Rabs (real w)))).
      { destruct (Req_EM_T (real w) 0) as [_|Nw]; [lra|]. apply Rmin_glb;
          [lra|]. rewrite <- real_abs. unfold real.
        assert (Z : (1 <= Z.abs w)%Z) by (assert (w <> 0%Z) by (intros ->; apply Nw; apply real_0);
          lia).
        apply IZR_le in Z. simpl in Z. lra. }
      assert (B : / 2 ^ 20 <= (if Req_EM_T (/ real c) 0 then 1 else Rmin 1 (Rabs (/ real c)))).
      { destruct (Req_EM_T (/ real c) 0) as [_|_]; [lra|]. apply Rmin_glb; [lra|exact I]. }
      apply Rle_trans with (/ 2 ^ 100 * / 2 ^ 20); [lra|]. apply Rmult_le_compat; lra.
    + lra.
    + simpl. lra.
  - right. left. now exists (real w).
Qed.
End Over.

(** ** Linear units *)

Section Linear.
Variables (at_ : positive -> row) (X : nat -> R) (ws : sparse) (bs : list Z) (over : option Z).
Hypothesis HX : forall j, In j (map snd ws) -> X (num j) = real (mag at_ j) /\
  (0 <= mag at_ j)%Z /\ real (mag at_ j) <= 2 ^ 20.

Lemma products_pos x : In x ws -> (0 <= quotient_of over (Z.abs (fst x) * mag at_ (snd x)))%Z.
Proof.
  intros Hx. destruct (HX (snd x) (in_map snd _ _ Hx)) as (_ & H & _). unfold quotient_of.
  assert (P : (0 <= Z.abs (fst x) * mag at_ (snd x))%Z) by (apply Z.mul_nonneg_nonneg; lia).
  destruct over as [c|]; [|exact P]. destruct (Z.eq_dec (Z.abs c) 0) as [->|N].
  - unfold ceil_div. now rewrite Zdiv_0_r.
  - apply ceil_div_pos; [unfold one; lia|lia].
Qed.

Theorem linear_noise F rho : fits at_ (CLinear ws bs over) = true ->
  (rounding_of at_ F (CLinear ws bs over) <= rho)%Z ->
  noise X (real F) (denote (CLinear ws bs over)) (real rho).
Proof.
  cbn [fits rounding_of denote noise]. rewrite andb_true_iff. intros [Fs Fo] R.
  assert (Fs' := Fs). unfold sum_fits in Fs'. rewrite !andb_true_iff, !Z.leb_le in Fs'.
  destruct Fs' as [[Fn Fw] Fb].
  assert (Len : length (zterms at_ ws bs over) = (length ws + length bs)%nat).
  { unfold zterms, zproducts. now rewrite length_app, !length_map. }
  set (weights := zsum (map (fun w => Z.abs (fst w)) ws)) in *.
  assert (W : total (map (fun w => Rabs (real (fst w))) ws) = real weights).
  { unfold weights. rewrite zsum_real, map_map. apply total_map_ext. intros. now rewrite real_abs. }
  assert (W0 : real weights <= 2 ^ 45).
  { apply real_le in Fw. unfold heaviest in Fw. rewrite real_scale, real_one in Fw. lra. }
  clearbody weights.
  assert (W1 : forall x, In x ws -> Rabs (real (fst x)) <= 2 ^ 45).
  { intros x Hx. apply Rle_trans with (2 := W0). rewrite <- W. clear -Hx. induction ws as [
      |y l IH]; [easy|]. cbn [map]. rewrite total_cons.
    assert (T : 0 <= total (map (fun w => Rabs (real (fst w))) l)).
    { apply total_pos, Forall_forall. intros z Hz. apply in_map_iff in Hz. destruct Hz as (w & <- &
        _). apply Rabs_pos. }
    destruct Hx as [->|Hx]; [lra|]. specialize (IH Hx). generalize (Rabs_pos (real (fst y))). lra. }
  exists (map real2 (zterms at_ ws bs over)), (most_cost over), (most_factors over),
    (real2 (zcharges at_ ws over)), (2 ^ 46).
  assert (M : map (fun w => Rabs (constant (fst w)) * X (snd w)) (weighted (divisor over) (entries
    ws)) =
    map (fun w => Rabs (constant (factors over (fst w))) * real (mag at_ (snd w))) ws).
  { unfold weighted, Convolution.weighted, entries. rewrite !map_map. apply map_ext_in. intros x
      Hx. cbn [fst snd].
    now rewrite (proj1 (HX (snd x) (in_map snd _ _ Hx))). }
  assert (C0 : forall b, exact ([], b) = b) by (intros b; unfold exact, constant; cbn; ring).
  assert (All : total (map real2 (zproducts at_ ws over)) + total (map real2 (map (fun b =>
    one * Z.abs b)%Z bs)) <= 2 ^ 40).
  { apply real2_le in Fb. unfold zterms in Fb. rewrite real2_total, map_app, total_app in Fb.
    assert (Lm : real2 (limit * limit) = 2 ^ 40) by (unfold real2, limit;
      rewrite !mult_IZR, one_is; field). lra. }
  assert (Pp : 0 <= total (map real2 (zproducts at_ ws over))).
  { apply total_pos, Forall_forall. intros y Hy. apply in_map_iff in Hy. destruct Hy as (z & <- &
      Hz). unfold zproducts in Hz.
    apply in_map_iff in Hz. destruct Hz as (x & <- & Hx). assert (Q := products_pos x Hx).
    apply IZR_le in Q. unfold real2. lra. }
  assert (Pb : 0 <= total (map real2 (map (fun b => one * Z.abs b)%Z bs))).
  { apply total_pos, Forall_forall. intros y Hy. rewrite map_map in Hy. apply in_map_iff in Hy.
      destruct Hy as (b & <- & _).
    rewrite real2_one. apply real_pos. lia. }
  assert (Heavy : total (map (fun w => Rabs (real (fst w)) * real (mag at_ (snd w))) ws) <= 2 ^ 40).
  { destruct over as [c|] eqn:Eo.
    - apply Rle_trans with (total (map (fun w => 2 ^ 20 * Rabs (real (fst w))) ws)).
      + apply total_map_le. intros x Hx. destruct (HX (snd x) (in_map snd _ _ Hx)) as (_ & _ & B).
        rewrite Rmult_comm.
        apply Rmult_le_compat_r; [apply Rabs_pos|exact B].
      + rewrite total_map_scale, W. cbn [over_fits] in Fo. rewrite !andb_true_iff, !Z.leb_le in Fo.
        destruct Fo as [_ Fo].
        apply real_le in Fo. unfold limit in Fo. rewrite real_scale, real_one in Fo. lra.
    - apply Rle_trans with (total (map real2 (zproducts at_ ws None))); [|lra]. right.
      unfold zproducts. rewrite map_map.
      apply total_map_ext. intros x _. cbn [quotient_of]. rewrite <- real_abs. unfold real, real2.
      rewrite mult_IZR. lra. }
  split; [|split; [|split; [|split; [|split]]]].
  - unfold weighted, Convolution.weighted, entries. rewrite !map_map. apply Forall_forall.
    intros y Hy.
    apply in_map_iff in Hy. destruct Hy as (x & <- & Hx). cbn [fst snd].
    apply (factors_limited over weights); [exact Fo|now apply W1].
  - unfold constants, Convolution.constants. rewrite map_map. apply Forall_forall. intros y Hy.
    apply in_map_iff in Hy. destruct Hy as (b & <- & _). split; [now left|]. cbn.
    unfold most_cost, most_factors. destruct over; lia.
  - unfold magnitudes. rewrite M. unfold zterms. rewrite map_app. apply Forall2_app.
    + unfold zproducts. rewrite map_map. clear -HX Fo. induction ws as [|x l IH]; constructor.
      * apply (factors_constant over weights); [exact Fo|]. now apply HX; left.
      * apply IH. intros j Hj. apply HX. now right.
    + unfold constants, Convolution.constants. rewrite !map_map. clear -C0.
      induction bs as [|b l IH]; constructor; [|exact IH].
      unfold Terms.magnitude. rewrite C0, real2_one, real_abs. lra.
  - unfold charges. assert (B0 : total (map charged (constants (map real bs))) = 0).
    { unfold constants, Convolution.constants. rewrite !map_map. clear. induction bs as [|b l IH];
        [reflexivity|]. cbn [map].
      rewrite total_cons, IH. unfold charged, cost. cbn. ring. }
    rewrite B0, Rplus_0_r. unfold zcharges. rewrite real2_total, map_map.
    unfold weighted, Convolution.weighted, entries.
    rewrite !map_map. cbn [fst snd]. apply total_map_le. intros x Hx.
    destruct (HX (snd x) (in_map snd _ _ Hx)) as (E & P & _).
    rewrite E. fold (factors over (fst x)). destruct (factors_cost over _ Fo (fst x)) as [Q _].
    assert (K := factors_constant over _ Fo (fst x) _ P).
    replace (real2 (cost_of over (fst x) * quotient_of over (Z.abs (fst x) * mag at_ (snd x)))) with
      (IZR (cost_of over (fst x)) * real2 (quotient_of over (Z.abs (fst x) * mag at_ (snd x)))) by
        (unfold real2; rewrite mult_IZR; lra).
    apply Rmult_le_compat; [apply pos_INR| |exact Q|exact K].
    apply Rmult_le_pos; [apply Rabs_pos|now apply real_pos].
  - unfold spreads. assert (A : total (map (fun w =>
      room (fst w) * (X (snd w) + 1)) (weighted (divisor over) (entries ws))) <=
      INR (length ws) * (2 ^ 20 + 1) + 2 ^ 45 + 2 ^ 40).
    { unfold weighted, Convolution.weighted, entries. rewrite !map_map. cbn [fst snd].
      apply Rle_trans with (total (map (fun w =>
        (2 ^ 20 + 1) + (Rabs (real (fst w)) + Rabs (real (fst w)) * real (mag at_ (snd w)))) ws)).
      - apply total_map_le. intros x Hx. destruct (HX (snd x) (in_map snd _ _ Hx)) as (E & P & B).
        rewrite E.
        assert (P' := real_pos _ P). fold (factors over (fst x)).
        assert (Rm := factors_room over _ Fo (fst x)).
        apply Rle_trans with ((1 + Rabs (real (fst x))) * (real (mag at_ (snd x)) + 1));
          [apply Rmult_le_compat_r; lra|lra].
      - rewrite (total_map_plus (fun _ => 2 ^ 20 + 1)), total_map_const, total_map_plus, W.
        apply Rle_trans with (INR (length ws) * (2 ^ 20 + 1) + (2 ^ 45 + 2 ^ 40)); [|lra].
        apply Rplus_le_compat_l, Rplus_le_compat; [exact W0|exact Heavy]. }
    assert (B : spread (constants (map real bs)) <= INR (length bs) + 2 ^ 40).
    { assert (E : spread (constants (map real bs)) = INR (length bs) +
        total (map real2 (map (fun b => one * Z.abs b)%Z bs))).
      { unfold spread, constants, Convolution.constants. rewrite !map_map. clear. induction bs as [
          |b l IH]; [simpl; lra|].
        cbn [map length]. rewrite !total_cons, S_INR, IH, real2_one, real_abs.
        unfold spread_of, room. cbn. lra. }
      rewrite E. lra. }
    assert (N1 : INR (length ws) + INR (length bs) <= 32768).
    { rewrite <- plus_INR, <- Len, INR_IZR_INZ. now apply IZR_le. }
    generalize (pos_INR (length ws)) (pos_INR (length bs)). nra.
  - unfold weighted, Convolution.weighted, constants, Convolution.constants, entries.
    rewrite !length_map, <- Len, <- real2_one.
    apply (sum_noise_ok _ _ _ _ _ _ _ _ Fs R); [| | |lra].
    + unfold zterms. apply Forall_app.
      split; apply Forall_forall; intros z Hz; apply in_map_iff in Hz; destruct Hz as (x & <- & Hx).
      * now apply products_pos.
      * unfold one. lia.
    + unfold most_cost. destruct over; lia.
    + unfold most_factors. destruct over; lia.
Qed.
End Linear.
